"""One supervised call to the model outside of any conversation: no tools, nothing recorded."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import aclosing

from vmpilot.contract import (
    AssistantMessage,
    BadResponse,
    GenerationRequest,
    Message,
    MessageCompleted,
    RetryPolicy,
    ToolCall,
    ToolResult,
)
from vmpilot.engine.calls import Lineup
from vmpilot.engine.calls.model_calls import SupervisedModelCalls
from vmpilot.engine.limits import Limits
from vmpilot.plugins import Backend


async def ask_plainly(
    backend: Backend, lineup: Lineup, messages: Sequence[Message], *, system: str, retry: RetryPolicy
) -> AssistantMessage:
    """The model's answer. Calls of tools in it are not run. Raises what a turn's call to the model raises."""
    endpoint = lineup.endpoint
    request = GenerationRequest(
        secrets.token_hex(6),
        secrets.token_hex(6),
        tuple(messages),
        system,
        endpoint.model,
        endpoint.settings,
        retry=retry,
    )
    model_calls = SupervisedModelCalls(request, limits=Limits(max_steps=1), lineup=lineup)
    async with aclosing(backend.generate(request, _NoTools(), model_calls)) as events:
        async for event in events:
            if isinstance(event, MessageCompleted):
                return event.message
    raise BadResponse(f"backend {backend.name} gave no answer")


class _NoTools:
    """A toolbox for a backend that asks for tools although none are offered."""

    async def call(self, tool_call: ToolCall) -> ToolResult:
        return ToolResult(tool_call.id, tool_call.name, "Not run: there are no tools here.", is_error=True)

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        return tuple([await self.call(each) for each in tool_calls])
