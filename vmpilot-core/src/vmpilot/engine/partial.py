"""What the model has said of an answer that is not complete."""

from __future__ import annotations

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ReasoningDelta,
    Retrying,
    TextDelta,
)


class Partial:
    """What the model has said since its last complete message: kept, and marked as cut, if no end follows."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def add(self, event: BackendEvent) -> None:
        match event:
            case TextDelta():
                self._text.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case MessageCompleted() | Retrying(discard=True):
                self._text.clear()
                self._reasoning.clear()
            case _:
                pass

    def message(self) -> AssistantMessage | None:
        if not self._text and not self._reasoning:
            return None
        return AssistantMessage("".join(self._text), "".join(self._reasoning), finish="cut")
