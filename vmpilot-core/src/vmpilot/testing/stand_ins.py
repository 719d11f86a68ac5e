"""Small real implementations of what the core gives to a backend, so that a backend can be run without the core."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelCall,
    ModelError,
    Retrying,
    StreamOnce,
    ToolCall,
    ToolResult,
)

Answer: TypeAlias = Callable[[ToolCall], str | ToolResult | Awaitable[str | ToolResult]]
"""What a scripted tool gives for a call: its text, or the whole result; it may be awaited."""


class ScriptedToolbox:
    """A `Toolbox` that answers each call with `answer(call)` and remembers the calls in order of their start.

    It holds the calls to the contract as soon as it is told what the backend yields (`watch`): then a call waits up
    to `patience` seconds for its message, runs once, as its message has it, and only if that message ended properly.
    What was not in order is in `faults`. `calls` are those that ran, `refused` those that did not.
    """

    def __init__(self, answer: Answer = lambda call: f"{call.name} done", *, patience: float = 2.0) -> None:
        self._answer = answer
        self._patience = patience
        self._watches = False
        self._news = asyncio.Condition()
        self._recorded: dict[str, tuple[ToolCall, AssistantMessage]] = {}
        self._results: dict[str, asyncio.Future[ToolResult]] = {}
        self.calls: list[ToolCall] = []
        self.refused: list[ToolCall] = []
        self.faults: list[str] = []

    async def watch(self, events: AsyncIterator[BackendEvent]) -> AsyncGenerator[BackendEvent, None]:
        """The backend's events, passed on; the calls of a message may run once it has come by."""
        self._watches = True
        async for event in events:
            if isinstance(event, MessageCompleted):
                async with self._news:
                    self._recorded |= {call.id: (call, event.message) for call in event.message.tool_calls}
                    self._news.notify_all()
            yield event

    async def call(self, tool_call: ToolCall) -> ToolResult:
        """See `Toolbox.call`."""
        if not self._watches:
            return await self._run(tool_call)
        known = self._results.get(tool_call.id)
        if known is not None:
            self.faults.append(f"the call {tool_call.id} was handed over a second time")
            return await asyncio.shield(known)
        self._results[tool_call.id] = asyncio.get_running_loop().create_future()
        try:
            result = await self._run_recorded(tool_call)
        except BaseException:
            self._results.pop(tool_call.id).cancel()
            raise
        self._results[tool_call.id].set_result(result)
        return result

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """See `Toolbox.call_all`."""
        return tuple(await asyncio.gather(*map(self.call, tool_calls)))

    async def _run_recorded(self, given: ToolCall) -> ToolResult:
        if not await self._is_recorded(given.id):
            self.faults.append(f"the call {given.id!r} stands in no message that was yielded")
            return self._refuse(given, "this call stands in no message that was yielded, so it was not run")
        call, message = self._recorded[given.id]
        if call != given:
            self.faults.append(f"the call {given.id} was handed over as {given}, its message says {call}")
        if not message.ended_properly:
            return self._refuse(call, "Not run: the message was cut off before its end. Make the call again.")
        return await self._run(call)

    async def _is_recorded(self, call_id: str) -> bool:
        try:
            async with asyncio.timeout(self._patience), self._news:
                await self._news.wait_for(lambda: call_id in self._recorded)
        except TimeoutError:
            return False
        return True

    def _refuse(self, call: ToolCall, text: str) -> ToolResult:
        self.refused.append(call)
        return ToolResult(call.id, call.name, text, is_error=True)

    async def _run(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        answer = self._answer(call)
        if isinstance(answer, Awaitable):
            answer = await answer
        return answer if isinstance(answer, ToolResult) else ToolResult(call.id, call.name, answer)


class PlainModelCalls:
    """`ModelCalls` without supervision: each call is made once, as the request says."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self.count = 0

    def run(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AsyncGenerator[BackendEvent, None]:
        """See `ModelCalls.run`."""
        self.count += 1
        return stream_once(self.prepare(messages))

    def prepare(self, messages: Sequence[Message]) -> ModelCall:
        """The call to the model for these messages."""
        request = self._request
        return ModelCall(tuple(messages), request.system, request.model, request.settings, request.tools)


class SupervisedStandIn(PlainModelCalls):
    """`ModelCalls` with as much supervision as a backend can tell: further tries, harmless histories, a limit.

    A failed call whose error says so is made again, up to `tries` times in all and without a wait. From call number
    `stop_at` on, `stop` is raised instead. `rewrite` makes of the messages what is to be sent. `raised` are the
    errors of the backend's `stream_once`, each as it came.
    """

    def __init__(
        self,
        request: GenerationRequest,
        *,
        tries: int = 1,
        rewrite: Callable[[tuple[Message, ...]], tuple[Message, ...]] = lambda messages: messages,
        stop_at: int = 0,
        stop: Exception | None = None,
    ) -> None:
        super().__init__(request)
        self._tries = tries
        self._rewrite = rewrite
        self._stop_at = stop_at
        self._stop = stop
        self.raised: list[BaseException] = []

    async def run(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AsyncGenerator[BackendEvent, None]:
        """See `ModelCalls.run`."""
        self.count += 1
        if self._stop is not None and self.count >= self._stop_at:
            raise self._stop
        call = self.prepare(self._rewrite(tuple(map(make_harmless, messages))))
        for tried in range(1, self._tries + 1):
            try:
                async with aclosing(stream_once(call)) as events:
                    async for event in events:
                        yield event
                return
            except Exception as error:
                self.raised.append(error)
                if not (isinstance(error, ModelError) and error.retryable and tried < self._tries):
                    raise
                yield Retrying(tried + 1, 0.0, str(error), discard=True)


def make_harmless(message: Message) -> Message:
    """The message as the core sends it: servers fail on arguments in a history that are no JSON object."""
    if not isinstance(message, AssistantMessage) or all(_is_object(call.arguments) for call in message.tool_calls):
        return message
    calls = [call if _is_object(call.arguments) else ToolCall(call.id, call.name, "{}") for call in message.tool_calls]
    return msgspec.structs.replace(message, tool_calls=tuple(calls))


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
