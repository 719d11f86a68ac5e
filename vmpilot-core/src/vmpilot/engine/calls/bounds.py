"""The limits on the size of one answer. The rest is cut off; the part before it is kept and marked as truncated."""

from __future__ import annotations

from collections.abc import Iterator

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    Notice,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from vmpilot.engine.calls._emitter import Emitter

MAX_TEXT = 2_000_000
"""Characters of an answer's text and reasoning together."""
MAX_ARGUMENTS = 1_000_000
"""Characters of the arguments of all its calls together."""
MAX_CALLS = 64

TOO_LONG = Notice(f"VMPilot reads at most {MAX_TEXT:,} characters of one answer. The rest was discarded.")
"""Shown before a message whose text VMPilot truncated; it ends in `length`, like one that reached the model's limit."""

_TOLD = {
    "text": TOO_LONG.text,
    "arguments": f"The model wrote more than {MAX_ARGUMENTS:,} characters of tool arguments. The rest was discarded, "
    f"and none of its calls were run.",
    "calls": f"The model made more than {MAX_CALLS} tool calls at once. The rest was discarded, and none were run.",
}


class Bounds:
    """Measures the chunks of one answer. An empty chunk counts as one character."""

    def __init__(self) -> None:
        self.exceeded: Notice | None = None
        """The bound that was exceeded, as text; None if none was."""
        self._room = {"text": MAX_TEXT, "arguments": MAX_ARGUMENTS}

    def fit(self, event: BackendEvent) -> BackendEvent | None:
        """The event, shortened to the remaining room; None if no room is left."""
        match event:
            case TextDelta():
                piece = self._cut(event.text, "text")
                return event if piece is event.text else TextDelta(piece)
            case ReasoningDelta():
                piece = self._cut(event.text, "text")
                return event if piece is event.text else ReasoningDelta(piece)
            case ToolCallDelta():
                if event.position >= MAX_CALLS:
                    self.exceeded = Notice(_TOLD["calls"])
                    return None
                piece = self._cut(event.arguments, "arguments")
                return event if piece is event.arguments else ToolCallDelta(event.position, piece, event.name)
        return event

    def _cut(self, piece: str, kind: str) -> str:
        room = self._room[kind]
        self._room[kind] = room - (len(piece) or 1)
        if room >= len(piece) and room:
            return piece
        self.exceeded = Notice(_TOLD[kind])
        return piece[:room]


def cut_message(completed: MessageCompleted) -> tuple[Notice, MessageCompleted] | None:
    """The replacement for a message that is too long although its chunks were not, or were missing; otherwise None.

    Its calls are not run, because `length` is not a proper end.
    """
    bounds, pieces = Bounds(), Emitter(lambda _event: None)
    for piece in _pieces_of(completed.message):
        if (fitting := bounds.fit(piece)) is not None:
            pieces(fitting)
        if bounds.exceeded:
            return bounds.exceeded, MessageCompleted(pieces.message("length", with_calls=True), completed.usage)
    return None


def _pieces_of(message: AssistantMessage) -> Iterator[BackendEvent]:
    if message.text:
        yield TextDelta(message.text)
    if message.reasoning:
        yield ReasoningDelta(message.reasoning)
    for position, call in enumerate(message.tool_calls):
        yield ToolCallDelta(position, call.arguments, call.name)
