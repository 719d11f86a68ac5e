"""Shows the answer in progress to front ends, and keeps one copy of its text for all uses."""

from __future__ import annotations

import time
from collections.abc import Callable

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    Finish,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)


class Emitter:
    """Shows events, and keeps the chunks of the answer since the last complete message.

    `first_at` is when its first chunk arrived (`time.monotonic()`), `last_notice` the last notice shown with it.
    """

    def __init__(self, show: Callable[[BackendEvent], None]) -> None:
        self._show = show
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}
        self.last_notice: Notice | None = None
        self.first_at: float | None = None

    def __call__(self, event: BackendEvent) -> None:
        """Show an event of an answer that is not complete."""
        match event:
            case TextDelta():
                self._text.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ToolCallDelta():
                self._calls.setdefault(event.position, []).append(event)
            case Retrying(discard=True):
                self.clear()
            case Notice():
                self.last_notice = event
            case _:
                pass
        if self.first_at is None and self.shown:
            self.first_at = time.monotonic()
        self._show(event)

    def clear(self) -> None:
        """Discard the chunks: their message is complete."""
        self._text, self._reasoning, self._calls = [], [], {}
        self.last_notice = self.first_at = None

    @property
    def shown(self) -> bool:
        """Whether part of the answer was shown, so that a retry must retract it."""
        return bool(self._text or self._reasoning or self._calls)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def take_back(self, reason: str, *, attempt: int = 1) -> None:
        """Make front ends discard the part of the answer that was shown, if any."""
        if self.shown:
            self(Retrying(attempt, 0.0, reason, discard=True))

    def message(self, finish: Finish, *, with_calls: bool = False) -> AssistantMessage:
        """The chunks as a message. A call with neither name nor arguments was only a sign of life."""
        calls = (_joined(pieces) for pieces in self._calls.values()) if with_calls else ()
        kept = tuple(call for call in calls if call.name or call.arguments)
        return AssistantMessage(self.text, self.reasoning, kept, finish=finish)


def _joined(pieces: list[ToolCallDelta]) -> ToolCall:
    name = next((piece.name for piece in pieces if piece.name), "")
    return ToolCall("", name, "".join(piece.arguments for piece in pieces))
