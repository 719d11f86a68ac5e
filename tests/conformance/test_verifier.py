"""The verifier works: a plain client passes, and each way to break it is caught."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.faults import FAULTS
from tests.faults.playing import KEY, play
from tests.faults.verifier import verify

from vmpilot.contract import (
    AssistantMessage,
    Event,
    MessageCompleted,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolStarted,
    TurnEnded,
)

from .plain_client import PlainClient, never_ends

NAMED = {fault.name: fault for fault in FAULTS}


class DoublesText(PlainClient):
    def show(self, message: AssistantMessage) -> list[Event]:
        return [TextDelta(message.text), *super().show(message)]


class RunsHalfCalls(PlainClient):
    """Completes truncated JSON, as lenient parsers do."""

    def finish(self, call: ToolCall) -> list[Event]:
        if call.arguments.endswith("runs"):
            call = msgspec.structs.replace(call, arguments=call.arguments + '"}')
        return super().finish(call)


class RunsTwice(PlainClient):
    def execute(self, command: str) -> None:
        super().execute(command)
        super().execute(command)


class RunsCutMessages(PlainClient):
    """Runs the calls of an incomplete message."""

    def read(self, response: httpx.Response) -> AssistantMessage | None:
        choice = response.json()["choices"][0]
        choice["finish_reason"] = "tool_calls" if choice["message"].get("tool_calls") else choice["finish_reason"]
        return super().read(httpx.Response(200, json={"choices": [choice]}))


class IsSilent(PlainClient):
    """Accepts an empty answer."""

    def read(self, response: httpx.Response) -> AssistantMessage | None:
        return super().read(response) or AssistantMessage()


class ShowsTracebacks(PlainClient):
    def explain(self, response: httpx.Response) -> str:
        return f'Traceback (most recent call last):\n  File "x.py", line 1\n{response!r}'


class ShowsObjects(PlainClient):
    def explain(self, response: httpx.Response) -> str:
        return f"It broke: {object()!r}"


class SaysNothing(PlainClient):
    def explain(self, response: httpx.Response) -> str:
        return ""


class SaysTooMuch(PlainClient):
    def explain(self, response: httpx.Response) -> str:
        return "It broke. " * 100


class TellsTheKey(PlainClient):
    def explain(self, response: httpx.Response) -> str:
        return f"It broke: {response.json()['error']['message']}"[:300]


class WritesTheKeyDown(PlainClient):
    @property
    def headers(self) -> dict[str, str]:
        Path(self._stage.folder, "debug.log").write_text(json.dumps(super().headers), encoding="utf-8")
        return super().headers


class FollowsRedirects(PlainClient):
    async def ask(self) -> httpx.Response:
        response = await super().ask()
        if not response.is_redirect:
            return response
        async with httpx.AsyncClient() as client:
            return await client.post(
                response.headers["location"], json={"messages": self.history}, headers=self.headers
            )


class ForgetsResults(PlainClient):
    """Leaves a call without a result in the history."""

    def finish(self, call: ToolCall) -> list[Event]:
        events = super().finish(call)
        self.history.pop()
        return events


class NeverEnds(PlainClient):
    async def ask(self) -> httpx.Response:
        await never_ends()
        return await super().ask()


class Raises(PlainClient):
    def read(self, response: httpx.Response) -> AssistantMessage | None:
        response.raise_for_status()
        return super().read(response)


class GivesUp(PlainClient):
    async def run(self, request: str) -> AsyncGenerator[Event, None]:
        async for event in super().run(request):
            if isinstance(event, TurnEnded):
                return
            yield event


class EndsTwice(PlainClient):
    async def run(self, request: str) -> AsyncGenerator[Event, None]:
        async for event in super().run(request):
            yield event
        yield TurnEnded("answered", 0.0)


class SwallowsErrors(PlainClient):
    """Reports success to the model for a call that did not run."""

    def result(self, call: ToolCall, text: str, *, is_error: bool) -> ToolFinished:
        return super().result(call, "done", is_error=False)


class HidesStarts(PlainClient):
    """Runs commands without emitting an event."""

    def finish(self, call: ToolCall) -> list[Event]:
        return [event for event in super().finish(call) if not isinstance(event, ToolStarted)]


class ForgetsText(PlainClient):
    def show(self, message: AssistantMessage) -> list[Event]:
        return [MessageCompleted(message)]


class LeavesOutTheKey(PlainClient):
    @property
    def headers(self) -> dict[str, str]:
        return {}


class TakesAll(PlainClient):
    """Keeps many copies of everything in memory."""

    def read(self, response: httpx.Response) -> AssistantMessage | None:
        self.kept = [response.content + bytes([number]) for number in range(30)]
        return super().read(response)


BROKEN = [
    (DoublesText, "500", "shown: "),
    (RunsHalfCalls, "arguments-truncated", "1 marks by|no message with a proper end"),
    (RunsTwice, "text-beside-a-call", "2 marks by 1 commands"),
    (RunsCutMessages, "finish-unknown-with-a-call", "ran|asked"),
    (IsSilent, "empty-content", "silence"),
    (ShowsTracebacks, "500-for-ever", "not plain"),
    (ShowsObjects, "500-for-ever", "not plain"),
    (SaysNothing, "500-for-ever", "is too short"),
    (SaysTooMuch, "500-for-ever", "characters long"),
    (TellsTheKey, "500-with-the-key", "an event contains the key"),
    (WritesTheKeyDown, "500", "files contain the key"),
    (FollowsRedirects, "307-elsewhere", "the key went to another origin"),
    (ForgetsResults, "text-beside-a-call", "a strict provider rejects"),
    (NeverEnds, "500", "did not end within"),
    (Raises, "500", "HTTPStatusError"),
    (GivesUp, "500", "does not end with one TurnEnded"),
    (EndsTwice, "500", "does not end with one TurnEnded"),
    (SwallowsErrors, "arguments-not-json", "0 calls failed rather than 1"),
    (HidesStarts, "text-beside-a-call", "1 marks by 0 commands"),
    (ForgetsText, "500", "shown: ''"),
    (LeavesOutTheKey, "500", "a request lacks the key"),
    (TakesAll, "a-line-of-8-megabytes", "characters of text were accepted.*the process grew"),
]


async def _verified(client: type[PlainClient], name: str, folder: Path) -> str:
    fault = msgspec.structs.replace(NAMED[name], seconds=2.0 if client is NeverEnds else 60.0, waits=0.0)
    return "\n".join(verify(await play(fault, client.connect, folder=folder, streaming=False)))


@pytest.mark.parametrize(
    "name", sorted({name for _, name, _ in BROKEN} - {"a-line-of-8-megabytes", "500-with-the-key"})
)
async def test_the_plain_client_passes(name: str, tmp_path: Path) -> None:
    assert await _verified(PlainClient, name, tmp_path) == ""


@pytest.mark.parametrize(("client", "name", "told"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
async def test_broken_client_is_caught(client: type[PlainClient], name: str, told: str, tmp_path: Path) -> None:
    found = await _verified(client, name, tmp_path)
    assert re.search(told, found, re.DOTALL), found
    assert KEY not in found
