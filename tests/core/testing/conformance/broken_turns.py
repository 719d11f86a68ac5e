"""Backends whose turns have a fault: the loop, the tools, stored state, the end."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from tests.core.testing.conformance.reference import Reference

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    Notice,
    StoreError,
    TextDelta,
    Toolbox,
    ToolResult,
    TurnStopped,
    Usage,
    hookimpl,
)
from vmpilot.providers import chat_messages


class Framing(Reference):
    """Base of backends that do something before a turn or emit something after it."""

    @hookimpl
    async def generate_responses(  # type: ignore[override]  # a generator is the other form of a hookimpl
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        for event in self.open(request):
            yield event
        await self.loop(request, toolbox, model_calls)
        for event in self.close():
            yield event

    def open(self, _request: GenerationRequest) -> Iterator[BackendEvent]:
        yield from ()

    def close(self) -> Iterator[BackendEvent]:
        yield from ()


class TalksAfterwards(Framing):
    def close(self) -> Iterator[BackendEvent]:
        yield Notice("The turn is over.")


class LeaksTheKey(Framing):
    def open(self, request: GenerationRequest) -> Iterator[BackendEvent]:
        key = request.settings.api_key
        yield Notice(f"Asking with {key.reveal() if key else 'nothing'}.")


class AddsUsageUp(Reference):
    def begin(self, request: GenerationRequest) -> list[Message]:
        self._total: Usage | None = None
        return super().begin(request)

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        async with aclosing(super().ask(call)) as events:
            async for event in events:
                if isinstance(event, MessageCompleted) and event.usage:
                    self._total = event.usage if self._total is None else self._total + event.usage
                    yield MessageCompleted(event.message, self._total)
                else:
                    yield event


class SendsWhatItHad(Reference):
    """Sends its own history instead of the messages in `ModelCall`."""

    def begin(self, request: GenerationRequest) -> list[Message]:
        self.messages: list[Message] = list(request.messages)
        return self.messages

    def write_body(self, call: ModelCall) -> dict[str, Any]:
        return {**super().write_body(call), "messages": chat_messages(self.messages, system=call.system)}


class KeepsStateBetweenTurns(Reference):
    """Continues with the last turn's messages when the next turn has no system prompt."""

    def __init__(self) -> None:
        self._before: list[Message] = []

    def begin(self, request: GenerationRequest) -> list[Message]:
        before = [] if request.system else self._before
        self._before = list(request.messages)
        return [*before, AssistantMessage("…"), *request.messages] if before else list(request.messages)


class MixesTurns(Reference):
    """Stores the current turn's request where another turn can see it."""

    async def loop(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        self._request = request
        await asyncio.sleep(0)
        await super().loop(self._request, toolbox, model_calls)


class RunsCommandsItself(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        for call in answer.tool_calls:
            with suppress(ValueError, KeyError, TypeError):
                command = json.loads(call.arguments)["command"]
                if command.startswith("touch "):
                    process = await asyncio.create_subprocess_exec(*command.split(), stdout=subprocess.DEVNULL)
                    await process.wait()
        return await super().run_tools(answer, toolbox)


class SkipsUnknownTools(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        if answer.tool_calls[0].name == "make_tea":
            return [ToolResult(call.id, call.name, "There is no such tool.") for call in answer.tool_calls]
        return await super().run_tools(answer, toolbox)


class HandsOverTwice(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        await super().run_tools(answer, toolbox)
        return await super().run_tools(answer, toolbox)


class CallsBeforeItsMessage(Reference):
    """Runs the tools of a call to the model before that call's message is recorded."""

    async def loop(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        self._toolbox = toolbox
        await super().loop(request, toolbox, model_calls)

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        async with aclosing(super().ask(call)) as events:
            async for event in events:
                if isinstance(event, MessageCompleted) and event.message.tool_calls:
                    self._results = await self._toolbox.call_all(event.message.tool_calls)
                yield event

    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        return self._results


class StopsAfterTheTools(Reference):
    async def loop(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        answer = await model_calls.ask(self.ask, self.begin(request))
        await toolbox.call_all(answer.tool_calls)


class RunsOneAfterTheOther(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        return [await toolbox.call(call) for call in answer.tool_calls]


class TakesResultsAsTheyCome(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        tasks = [asyncio.ensure_future(toolbox.call(call)) for call in answer.tool_calls]
        return [await task for task in asyncio.as_completed(tasks)]


class StopsAtTheFirstFailure(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        results = list(await super().run_tools(answer, toolbox))
        if len(results) > 1 and results[0].is_error:
            return [results[0]] * len(results)
        return results


class RunsTwinsOnce(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        unique = {(call.name, call.arguments): call for call in answer.tool_calls}
        if len(unique) == len(answer.tool_calls):
            return await super().run_tools(answer, toolbox)
        results = await toolbox.call_all(tuple(unique.values()))
        return [ToolResult(call.id, call.name, results[0].text) for call in answer.tool_calls]


class CatchesTheStop(Framing):
    async def loop(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        self._stopped = False
        try:
            await super().loop(request, toolbox, model_calls)
        except TurnStopped:
            self._stopped = True

    def close(self) -> Iterator[BackendEvent]:
        if self._stopped:
            yield MessageCompleted(AssistantMessage("Enough."))


class TellsTheModelOfTheLog(Reference):
    """Treats an exception of the toolbox as a result."""

    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        try:
            return await super().run_tools(answer, toolbox)
        except StoreError as error:
            return [ToolResult(call.id, call.name, str(error), is_error=True) for call in answer.tool_calls]


class SwallowsItsCancellation(Reference):
    """Ends normally instead of propagating the cancellation."""

    @hookimpl
    async def generate_responses(  # type: ignore[override]  # a generator is the other form of a hookimpl
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        speaks = False

        async def ask(call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
            nonlocal speaks
            async with aclosing(self.ask(call)) as events:
                async for event in events:
                    speaks = isinstance(event, TextDelta)
                    yield event

        messages = self.begin(request)
        try:
            while (answer := await model_calls.ask(ask, messages)).tool_calls:
                messages += [answer, *await self.run_tools(answer, toolbox)]
        except asyncio.CancelledError:
            if not speaks:
                raise
            yield MessageCompleted(AssistantMessage("Interrupted."))


class LetsToolsRunOn(Reference):
    """Shields the tools from the turn's cancellation."""

    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        return await asyncio.shield(super().run_tools(answer, toolbox))


class LeavesTasksBehind(Framing):
    def open(self, _request: GenerationRequest) -> Iterator[BackendEvent]:
        self._beat = asyncio.ensure_future(asyncio.sleep(3600))
        yield from ()


class ClaimsAnotherName(Reference):
    @hookimpl
    def describe_backend(self) -> BackendInfo:
        return BackendInfo("reference", "1.0", capabilities=frozenset({"core", "telepathy"}))
