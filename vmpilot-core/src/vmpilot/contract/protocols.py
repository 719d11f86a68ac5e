"""What the core gives to a backend: a toolbox to run tools with, and supervision for its calls to the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeAlias

from vmpilot.contract.events import BackendEvent
from vmpilot.contract.messages import Message, ToolCall, ToolResult
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

    It never raises for a tool's failure: an unknown tool, arguments that are no JSON or do not fit the schema, a
    denial, a crash or a timeout is a `ToolResult` with `is_error` that tells the model what to do instead.

    The write-ahead rule: a call runs only once the `MessageCompleted` that holds it has been yielded by the backend and
    is on disk (a call may wait for that), and its result is on disk before `call` returns. Calls of a message that did
    not end properly are refused.
    """

    async def call(self, tool_call: ToolCall) -> ToolResult:
        """Run one call of the message that was yielded last."""
        ...

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """Run the calls of one message: side by side where that is safe, results in the calls' order."""
        ...


class ModelCalls(Protocol):
    """Supervision for a backend's calls to the model: time limits, retries, one proper end, limits of the turn."""

    def run(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AsyncGenerator[BackendEvent, None]:
        """Make one supervised call and give its events; the backend yields them on.

        The last event is a `MessageCompleted` with a proper or a marked end; tool-call ids in it are unique. Raises a
        `ModelError` when the call failed for good, `TurnStopped` when a limit of the turn is reached: a backend lets
        both pass.
        """
        ...
