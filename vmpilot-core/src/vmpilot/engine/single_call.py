"""One supervised call to the model outside of the conversation: nothing is recorded, and no tools are run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from vmpilot.cache import TurnCache
from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BadResponse,
    GenerationRequest,
    Message,
    MessageCompleted,
    RetryPolicy,
    ToolCall,
    ToolResult,
    TurnStopped,
)
from vmpilot.engine.calls import Emitter, FallbackChain
from vmpilot.engine.calls.model_calls import SupervisedModelCalls
from vmpilot.engine.limits import Limits
from vmpilot.engine.recording import TurnRecorder
from vmpilot.plugins import Backend


async def ask_without_tools(
    backend: Backend, chain: FallbackChain, messages: Sequence[Message], *, system: str, retry: RetryPolicy
) -> AssistantMessage:
    """The model's answer. Its tool calls are not run. Raises the same errors as a turn's call to the model."""
    endpoint = chain.endpoint
    request = GenerationRequest(
        secrets.token_hex(6),
        secrets.token_hex(6),
        tuple(messages),
        system,
        endpoint.model,
        endpoint.settings,
        retry=retry,
    )
    emit = Emitter(lambda _event: None)
    return (await ask_once(backend, request, chain, limits=Limits(max_steps=1), emit=emit)).message


async def ask_once(
    backend: Backend,
    request: GenerationRequest,
    chain: FallbackChain,
    *,
    limits: Limits,
    emit: Emitter,
    cache: TurnCache | None = None,
    recording: TurnRecorder | None = None,
) -> MessageCompleted:
    """The first answer that the backend receives or yields in an ordinary turn, which is then ended."""
    answer: MessageCompleted | None = None

    async def record(completed: MessageCompleted) -> AssistantMessage:
        nonlocal answer
        answer = completed
        raise TurnStopped("only one answer was requested")

    async def take(event: BackendEvent) -> None:
        if isinstance(event, MessageCompleted):
            await record(event)
        emit(event)

    model_calls = SupervisedModelCalls(
        request, limits=limits, emit=emit, record=record, chain=chain, cache=cache, recording=recording
    )
    try:
        await backend.run(request, _NoTools(), model_calls, take)
    except TurnStopped:
        if answer is None:
            raise
    if answer is None:
        raise BadResponse(f"backend {backend.name} gave no answer")
    return answer


class _NoTools:
    """A toolbox for a backend that calls tools although none are offered."""

    async def call(self, tool_call: ToolCall) -> ToolResult:
        return ToolResult(tool_call.id, tool_call.name, "Not run: no tools are available.", is_error=True)

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        return tuple([await self.call(each) for each in tool_calls])
