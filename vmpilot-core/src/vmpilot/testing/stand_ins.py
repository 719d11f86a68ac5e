"""Small real implementations of what the core gives to a backend, so that a backend can be run without the core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from vmpilot.contract import (
    BackendEvent,
    GenerationRequest,
    Message,
    ModelCall,
    StreamOnce,
    ToolCall,
    ToolResult,
)


class ScriptedToolbox:
    """A `Toolbox` that answers each call with `answer(call)` and remembers the calls in order of their start."""

    def __init__(self, answer: Callable[[ToolCall], str] = lambda call: f"{call.name} done") -> None:
        self._answer = answer
        self.calls: list[ToolCall] = []

    async def call(self, tool_call: ToolCall) -> ToolResult:
        self.calls.append(tool_call)
        return ToolResult(tool_call.id, tool_call.name, self._answer(tool_call))

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        return tuple(await asyncio.gather(*map(self.call, tool_calls)))


class PlainModelCalls:
    """`ModelCalls` without supervision: each call is made once, as the request says."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self.count = 0

    def run(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AsyncGenerator[BackendEvent, None]:
        self.count += 1
        request = self._request
        return stream_once(ModelCall(tuple(messages), request.system, request.model, request.settings, request.tools))
