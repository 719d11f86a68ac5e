"""Small, real implementations of the core's services, so that a backend can run without the core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BadResponse,
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
from vmpilot.engine.history import call_ids, sendable, with_unique_ids

Answer: TypeAlias = Callable[[ToolCall], str | ToolResult | Awaitable[str | ToolResult]]
"""The result of a scripted tool: text or a complete result; it may be awaitable."""


Take: TypeAlias = Callable[[BackendEvent], Awaitable[None]]
"""Receives an event that a backend yields."""


async def stream_turn(
    run: Callable[[Take], Awaitable[None]], toolbox: ScriptedToolbox, model_calls: PlainModelCalls
) -> AsyncGenerator[BackendEvent, None]:
    """The events of one turn, from `model_calls.ask` and from `run`; closing the generator cancels the turn.

    `run` is `Backend.run` with all but its last argument, or calls a coroutine hookimpl. The turn starts when the first
    event is requested.
    """
    seen: asyncio.Queue[BackendEvent | None] = asyncio.Queue()

    def see(event: BackendEvent) -> None:
        toolbox.see(event)
        seen.put_nowait(event)

    async def take(event: BackendEvent) -> None:
        see(event)

    model_calls.emit = see
    task = asyncio.ensure_future(run(take))
    task.add_done_callback(lambda _task: seen.put_nowait(None))
    try:
        while (event := await seen.get()) is not None:
            yield event
        await task
    except asyncio.CancelledError:
        await _cancel(task)
        if task.cancelled():
            raise
        while (event := seen.get_nowait()) is not None:  # the backend swallowed the cancellation
            yield event
    finally:
        await _cancel(task)


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it


class ScriptedToolbox:
    """A `Toolbox` that answers each call with `answer(call)` and records the calls in the order in which they start.

    It checks the calls against the contract once it sees the turn's events (`stream_turn` shows them): then a call runs
    once, exactly as in its message, only after that message and only if the message ended properly. Violations are in
    `faults`, executed calls in `calls`, and rejected calls in `refused`.
    """

    def __init__(self, answer: Answer = lambda call: f"{call.name} done") -> None:
        self._answer = answer
        self._watches = False
        self._recorded: dict[str, tuple[ToolCall, AssistantMessage]] = {}
        self._results: dict[str, asyncio.Future[ToolResult]] = {}
        self.calls: list[ToolCall] = []
        self.refused: list[ToolCall] = []
        self.faults: list[str] = []

    def see(self, event: BackendEvent) -> None:
        """Show an event of the turn; the calls of a message may run once it was shown."""
        self._watches = True
        if isinstance(event, MessageCompleted):
            self._recorded |= {call.id: (call, event.message) for call in event.message.tool_calls}

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
        if given.id not in self._recorded:
            self.faults.append(f"the call {given.id!r} is not part of a recorded message")
            return self._refuse(given, "Not run: this call is not part of a recorded message.")
        call, message = self._recorded[given.id]
        if call != given:
            self.faults.append(f"the call {given.id} was handed over as {given}, but its message says {call}")
        if not message.ended_properly:
            return self._refuse(call, "Not run: the message was cut off. Repeat the call.")
        return await self._run(call)

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
    """`ModelCalls` without supervision: each call is made once, exactly as requested. `emit` receives the events.

    As with the core, the ids of tool calls are unique in the conversation.
    """

    def __init__(
        self, request: GenerationRequest, *, emit: Callable[[BackendEvent], None] = lambda _event: None
    ) -> None:
        self._request = request
        self.emit = emit
        self.count = 0
        self._ids = call_ids(request.messages)

    async def ask(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AssistantMessage:
        """See `ModelCalls.ask`."""
        self.count += 1
        return await self.stream(stream_once, self.prepare(messages))

    async def stream(self, stream_once: StreamOnce, call: ModelCall) -> AssistantMessage:
        """Make the call and emit its events. Raises `BadResponse` if it ends without a message."""
        message: AssistantMessage | None = None
        async with aclosing(stream_once(call)) as events:
            async for event in events:
                if isinstance(event, MessageCompleted):
                    message = with_unique_ids(event.message, self._ids)
                    event = msgspec.structs.replace(event, message=message)  # noqa: PLW2901
                self.emit(event)
        if message is None:
            raise BadResponse("the call to the model ended without a message")
        return message

    def prepare(self, messages: Sequence[Message]) -> ModelCall:
        """The call to the model for these messages."""
        request = self._request
        return ModelCall(tuple(messages), request.system, request.model, request.settings, request.tools)


class RetryingModelCalls(PlainModelCalls):
    """`ModelCalls` with all supervision that a backend can notice: retries, harmless histories, a limit.

    A failed call with a retryable error is retried without a wait, up to `tries` attempts in all. From call number
    `stop_at` on, `stop` is raised instead. `rewrite` converts the messages before they are sent. `raised` are the
    errors of the backend's `stream_once`, unchanged.
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

    async def ask(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AssistantMessage:
        """See `ModelCalls.ask`."""
        self.count += 1
        if self._stop is not None and self.count >= self._stop_at:
            raise self._stop
        call = self.prepare(self._rewrite(tuple(map(sendable, messages))))
        tried = 0
        while True:
            tried += 1
            try:
                return await self.stream(stream_once, call)
            except Exception as error:
                self.raised.append(error)
                if not (isinstance(error, ModelError) and error.retryable and tried < self._tries):
                    raise
                self.emit(Retrying(tried + 1, 0.0, str(error), discard=True))
