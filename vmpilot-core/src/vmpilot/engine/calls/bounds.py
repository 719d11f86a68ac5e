"""How much of one answer is read: what is more is cut off, what came before it is kept and marked as cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ModelCall,
    Notice,
    ReasoningDelta,
    StreamOnce,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

MAX_TEXT = 2_000_000
"""Characters of an answer's text and reasoning together."""
MAX_ARGUMENTS = 1_000_000
"""Characters of the arguments of all its calls together."""
MAX_CALLS = 64

TOO_LONG = Notice(f"VMPilot reads at most {MAX_TEXT:,} characters of one answer: the rest was not read.")
"""Stands before the message of an answer whose text VMPilot cut, which ends like one that the model's limit cut."""

_TOLD = {
    "text": TOO_LONG.text,
    "arguments": f"The model wrote more than {MAX_ARGUMENTS:,} characters for its tools: the rest was not read, and "
    f"nothing of it is run.",
    "calls": f"The model asked for more than {MAX_CALLS} calls of tools at once: the rest was not read, and none of "
    f"them is run.",
}


class Bounds:
    """Counts the pieces of one answer and keeps them; `full` once there were too many. An empty piece counts, too."""

    def __init__(self) -> None:
        self.full = False
        self._exceeded = ""
        self._room = {"text": MAX_TEXT, "arguments": MAX_ARGUMENTS}
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _CallPieces] = {}

    def take(self, event: BackendEvent) -> BackendEvent:
        """The event, as far as there is room for it."""
        match event:
            case TextDelta():
                piece = self._fit(event.text, "text")
                self._text.append(piece)
                return event if piece is event.text else TextDelta(piece)
            case ReasoningDelta():
                piece = self._fit(event.text, "text")
                self._reasoning.append(piece)
                return event if piece is event.text else ReasoningDelta(piece)
            case ToolCallDelta():
                self._take_call(event)
        return event

    def finish(self, usage: Usage | None = None) -> tuple[Notice, MessageCompleted]:
        """What stands for an answer that is too long. No call of it is run, for `length` is no proper end."""
        calls = tuple(call for pieces in self._calls.values() if (call := pieces.joined()).name or call.arguments)
        message = AssistantMessage("".join(self._text), "".join(self._reasoning), calls, finish="length")
        return Notice(_TOLD[self._exceeded]), MessageCompleted(message, usage)

    def _take_call(self, event: ToolCallDelta) -> None:
        if event.position >= MAX_CALLS:
            self._exceed("calls")
            return
        call = self._calls.setdefault(event.position, _CallPieces())
        call.name = call.name or event.name
        call.arguments.append(self._fit(event.arguments, "arguments"))

    def _fit(self, piece: str, kind: str) -> str:
        room = self._room[kind]
        self._room[kind] = room - (len(piece) or 1)
        if room >= len(piece) and room:
            return piece
        self._exceed(kind)
        return piece[:room]

    def _exceed(self, what: str) -> None:
        self.full, self._exceeded = True, what


class _CallPieces:
    __slots__ = ("arguments", "name")

    def __init__(self) -> None:
        self.name = ""
        self.arguments: list[str] = []

    def joined(self) -> ToolCall:
        """Without a name and arguments it was but a sign of life."""
        return ToolCall("", self.name, "".join(self.arguments))


def cut_message(completed: MessageCompleted) -> tuple[Notice, MessageCompleted] | None:
    """What stands for a message that is too long although its pieces were not, or did not come; else None."""
    bounds = Bounds()
    for piece in _pieces_of(completed.message):
        bounds.take(piece)
        if bounds.full:
            return bounds.finish(completed.usage)
    return None


def _pieces_of(message: AssistantMessage) -> Iterator[BackendEvent]:
    if message.text:
        yield TextDelta(message.text)
    if message.reasoning:
        yield ReasoningDelta(message.reasoning)
    for position, call in enumerate(message.tool_calls):
        yield ToolCallDelta(position, call.arguments, call.name)


def bounded(stream_once: StreamOnce) -> StreamOnce:
    """The same within the bounds, for what collects an answer before it passes it on."""

    async def stream_bounded(call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        bounds = Bounds()
        async with aclosing(stream_once(call)) as stream:
            async for event in stream:
                yield bounds.take(event)
                if bounds.full:
                    for last in bounds.finish():
                        yield last
                    return

    return stream_bounded
