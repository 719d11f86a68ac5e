"""The core's services for a backend: a toolbox to run tools, and supervision for its model calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeAlias

from vmpilot.contract.events import BackendEvent
from vmpilot.contract.messages import AssistantMessage, Message, ToolCall, ToolResult
from vmpilot.contract.request import ModelCall

StreamOnce: TypeAlias = Callable[[ModelCall], AsyncGenerator[BackendEvent, None]]
"""A backend's function for one model call: deltas as they arrive, then exactly one `MessageCompleted`.

Every chunk that arrives is yielded, including fragments of tool calls as `ToolCallDelta`, because the core's time
limits measure silence. `MessageBuilder` creates the events and the message.

It raises only the contract's model errors, does not retry, and closes its connection when it is closed or canceled.
"""


class Toolbox(Protocol):
    """The only way to run a tool. It handles permission, time limits, masking, output limits and the durable record.

    It never raises for a tool's failure: an unknown tool, arguments that are not JSON or do not match the schema, a
    denial, a crash or a timeout results in a `ToolResult` with `is_error` that says what the model can do instead.

    The write-ahead rule: a call runs only if `ModelCalls.ask` returned its message, or the backend has yielded it as a
    `MessageCompleted`; the message is on disk before the call starts, and the result before `call` returns. Calls of a
    message that did not end properly are rejected.
    """

    async def call(self, tool_call: ToolCall) -> ToolResult:
        """Run one call of the last message."""
        ...

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """Run the calls of one message, concurrently if that is safe; the results are in the order of the calls."""
        ...


class ModelCalls(Protocol):
    """Supervision for a backend's model calls: time limits, retries, exactly one result, limits of the turn."""

    async def ask(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AssistantMessage:
        """Make one supervised call to the model, record its message and return it.

        The core shows the deltas as they arrive. The message's end is proper or marked as not, and its tool-call ids
        are unique in the conversation. Raises a `ModelError` if the call failed permanently and `TurnStopped` if a
        limit of the turn is reached: a backend must let both propagate.
        """
        ...
