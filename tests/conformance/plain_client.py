"""A small client without VMPilot's core. Each test of the verifier breaks it in one way."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.faults.playing import KEY, Stage

from vmpilot.contract import (
    AssistantMessage,
    Event,
    MessageCompleted,
    Retrying,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)

TRIES = 3


class PlainClient:
    """Requests unstreamed answers, retries invalid ones, and runs complete calls."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._numbers = itertools.count()
        self.history: list[dict[str, Any]] = []

    @classmethod
    @asynccontextmanager
    async def connect(cls, stage: Stage) -> AsyncGenerator[PlainClient, None]:
        yield cls(stage)

    async def run(self, request: str) -> AsyncGenerator[Event, None]:
        self.history.append({"role": "user", "content": request})
        yield TurnStarted("c", "t", UserMessage.from_text(request), "plain", "scripted", 0.0)
        while True:
            message: AssistantMessage | None = None
            for attempt in range(1, TRIES + 1):
                response = await self.ask()
                message = self.read(response)
                if message is not None or response.is_redirect:
                    break
                if attempt < TRIES:
                    yield Retrying(attempt + 1, 0.0, "the server failed", discard=False)
            if message is None:
                self.history.append({"role": "assistant", "content": "(no answer)"})
                yield TurnEnded("failed", 0.0, error=self.explain(response), exit_code=1)
                return
            for event in self.show(message):
                yield event
            self.remember(message)
            if not message.tool_calls:
                yield TurnEnded("answered", 0.0)
                return
            for call in message.tool_calls:
                for event in self.finish(call):
                    yield event

    async def ask(self) -> httpx.Response:
        body = {"model": "scripted", "messages": self.history}
        async with httpx.AsyncClient(follow_redirects=False) as client:
            return await client.post(f"{self._stage.base_url}/chat/completions", json=body, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}"}

    def read(self, response: httpx.Response) -> AssistantMessage | None:
        """The message, None if the answer is incomplete."""
        try:
            choice = response.json()["choices"][0]
            message, finish = choice["message"], choice["finish_reason"]
            text = str(message["content"] or "")
            calls = tuple(self.read_call(call) for call in message.get("tool_calls") or ())
        except (ValueError, LookupError, TypeError):
            return None
        if not (text or calls) or finish not in {"stop", "tool_calls"}:
            return None
        return AssistantMessage(text, tool_calls=calls, finish=finish)

    def read_call(self, call: dict[str, Any]) -> ToolCall:
        return ToolCall(f"call_{next(self._numbers)}", call["function"]["name"], call["function"]["arguments"])

    def explain(self, response: httpx.Response) -> str:
        if response.is_redirect:
            return "the server redirects to another location: set the base URL"
        return f"the server failed with status {response.status_code}: It broke"

    def show(self, message: AssistantMessage) -> list[Event]:
        return [TextDelta(message.text), MessageCompleted(message)] if message.text else [MessageCompleted(message)]

    def remember(self, message: AssistantMessage) -> None:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": "shell", "arguments": self.sendable(call)}}
            for call in message.tool_calls
        ]
        said: dict[str, Any] = {"role": "assistant", "content": message.text or None}
        self.history.append(said | ({"tool_calls": calls} if calls else {}))

    def sendable(self, call: ToolCall) -> str:
        try:
            return call.arguments if isinstance(json.loads(call.arguments), dict) else "{}"
        except ValueError:
            return "{}"

    def finish(self, call: ToolCall) -> list[Event]:
        try:
            command = json.loads(call.arguments)["command"]
        except (ValueError, TypeError, LookupError):
            return [self.result(call, "the arguments are not a valid JSON object", is_error=True)]
        self.execute(command)
        return [ToolStarted(call, "$", "test", 0.0), self.result(call, "done", is_error=False)]

    def execute(self, command: str) -> None:
        subprocess.run(["bash", "-c", command], cwd=self._stage.folder, check=True)

    def result(self, call: ToolCall, text: str, *, is_error: bool) -> ToolFinished:
        self.history.append({"role": "tool", "tool_call_id": call.id, "content": text})
        return ToolFinished(ToolResult(call.id, call.name, text, is_error=is_error), 0.0)


async def never_ends() -> None:
    """Waits until it is canceled."""
    await asyncio.Event().wait()
