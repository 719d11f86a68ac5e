"""Builds one assistant message from the deltas of a stream; used by every backend that reads deltas."""

from __future__ import annotations

from typing import Any

from vmpilot.contract.events import ReasoningDelta, TextDelta, ToolCallDelta
from vmpilot.contract.messages import AssistantMessage, Finish, ToolCall

_FINISHES: dict[str | None, Finish] = {
    "stop": "stop",
    "end_turn": "stop",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "refusal": "refusal",
}


class MessageBuilder:
    """Collects text, reasoning and fragments of tool calls; each `add_…` returns the event for the backend to yield.

    Arguments of calls are joined but never parsed. Servers disagree on how fragments are numbered: a fragment belongs
    to the call with its `index`; without one, to the last call. A second id on the same index starts a new call. Half a
    surrogate pair is held back until the other half arrives.
    """

    def __init__(self) -> None:
        self._text = _Pieces()
        self._reasoning = _Pieces()
        self._calls: list[_CallPieces] = []
        self._by_index: dict[int, _CallPieces] = {}
        self._function_call: _CallPieces | None = None
        self._refused = False

    def add_text(self, piece: str) -> TextDelta:
        return TextDelta(self._text.add(piece))

    def add_reasoning(self, piece: str) -> ReasoningDelta:
        return ReasoningDelta(self._reasoning.add(piece))

    def add_refusal(self, piece: str) -> TextDelta:
        """Text of a refusal: part of the message's text; the message's finish reason becomes `refusal`."""
        self._refused = True
        return self.add_text(piece)

    def add_tool_call(
        self,
        *,
        index: int | None,
        id: str | None,  # noqa: A002  the wire's own name
        name: str | None,
        arguments: str | None,
    ) -> ToolCallDelta:
        """A fragment of a tool call, with the parts that the provider sent."""
        call = self._by_index.get(index) if index is not None else self._last_for(id)
        if call is None or (id and call.id and id != call.id):
            call = _CallPieces(position=len(self._calls))
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
        call.id = call.id or id or ""
        call.name = call.name or name or ""
        return ToolCallDelta(call.position, call.arguments.add(arguments or ""), name or "")

    def add_function_call(self, *, name: str | None, arguments: str | None) -> ToolCallDelta | None:
        """A fragment of a message's single call in OpenAI's deprecated form, `function_call`, which has no id.

        None if the message has calls in the newer form: then it only repeats one of them.
        """
        if self._calls:
            return None
        call = self._function_call = self._function_call or _CallPieces(position=0)
        call.name = call.name or name or ""
        return ToolCallDelta(call.position, call.arguments.add(arguments or ""), name or "")

    def build(
        self, finish_reason: str | None, *, provider: str | None = None, provider_data: dict[str, Any] | None = None
    ) -> AssistantMessage:
        """The message received so far; `finish_reason` is the provider's value, or None if it sent none."""
        said = self._calls or ([self._function_call] if self._function_call else [])
        calls = tuple(ToolCall(call.id, call.name, call.arguments.join()) for call in said)
        return AssistantMessage(
            text=self._text.join(),
            reasoning=self._reasoning.join(),
            tool_calls=calls,
            finish="refusal" if self._refused else _finish(finish_reason, has_calls=bool(calls)),
            provider=provider if provider_data else None,
            provider_data=provider_data or None,
        )

    def _last_for(self, id_: str | None) -> _CallPieces | None:
        if id_:
            return next((call for call in self._calls if call.id == id_), None)
        return self._calls[-1] if self._calls else None


class _CallPieces:
    __slots__ = ("arguments", "id", "name", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.id = ""
        self.name = ""
        self.arguments = _Pieces()


class _Pieces:
    """Joins the chunks of one string; JSON escapes may split a surrogate pair across two chunks."""

    __slots__ = ("_half", "_pieces")

    def __init__(self) -> None:
        self._half = ""
        self._pieces: list[str] = []

    def add(self, piece: str) -> str:
        """Add a chunk and return the complete characters; a half that is never completed is dropped."""
        if self._half or "\ud800" <= piece[-1:] <= "\udbff":
            piece = (self._half + piece).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            end = len(piece) - ("\ud800" <= piece[-1:] <= "\udbff")
            piece, self._half = piece[:end], piece[end:]
        if piece:
            self._pieces.append(piece)
        return piece

    def join(self) -> str:
        return "".join(self._pieces)


def _finish(finish_reason: str | None, *, has_calls: bool) -> Finish:
    """Ollama and others end a message of tool calls with `stop`; announced calls must actually be present."""
    finish = _FINISHES.get(finish_reason, "cut")
    if finish == "stop" and has_calls:
        return "tool_calls"
    if finish == "tool_calls" and not has_calls:
        return "cut"
    return finish
