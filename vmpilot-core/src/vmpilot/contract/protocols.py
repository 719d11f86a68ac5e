"""The core's services for a backend: a toolbox to run tools with, and supervision for its calls to the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeAlias

from vmpilot.contract.events import BackendEvent
from vmpilot.contract.messages import AssistantMessage, Message, ToolCall, ToolResult
from vmpilot.contract.request import ModelCall

StreamOnce: TypeAlias = Callable[[ModelCall], AsyncGenerator[BackendEvent, None]]
"""A backend's function for one call to the model: deltas as they come, then exactly one `MessageCompleted`.

Every piece that arrives is yielded, fragments of tool calls as `ToolCallDelta`: silence is what the core's time limits
act on. `MessageBuilder` makes the events and the message.

It raises the contract's model errors and nothing else, does not retry, and closes its connection when it is closed
or cancelled.
"""


class Toolbox(Protocol):
    """The only way to run a tool. Permission, time limit, masking, capping and the durable record happen inside.

    It never raises for a tool's failure: an unknown tool, arguments that are not JSON or do not match the schema, a
    denial, a crash or a timeout is a `ToolResult` with `is_error` that says what the model can do instead.

    The write-ahead rule: a call runs only if `ModelCalls.ask` returned its message, or the backend has yielded it as a
    `MessageCompleted`; the message is on disk before the call starts, and the result before `call` returns. Calls of a
    message that did not end properly are refused.
    """

    async def call(self, tool_call: ToolCall) -> ToolResult:
        """Run one call of the last message."""
        ...

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """Run the calls of one message, side by side if that is safe; the results are in the order of the calls."""
        ...


class ModelCalls(Protocol):
    """Supervision for a backend's calls to the model: time limits, retries, one proper end, limits of the turn."""

    async def ask(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AssistantMessage:
        """Make one supervised call to the model and return its message, which is recorded by then.

        The core shows the deltas as they come. The message has a proper or a marked end, and its tool-call ids are
        unique in the conversation. Raises a `ModelError` if the call failed for good and `TurnStopped` if a limit of
        the turn is reached: a backend lets both pass.
        """
        ...
