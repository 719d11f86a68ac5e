"""A cached answer as bytes, and replayed as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    decode_event,
    encode_event,
)

_PIECE = 400
"""Characters per delta."""


def encode_answer(event: MessageCompleted) -> bytes:
    """The event's JSON."""
    return encode_event(event).encode()


def decode_answer(data: bytes) -> MessageCompleted | None:
    """The answer that `encode_answer` wrote; None if the data is foreign or corrupt."""
    try:
        event = decode_event(data)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, MessageCompleted) and is_whole(event.message) else None


def is_whole(message: AssistantMessage) -> bool:
    """Whether the answer ended properly, is not empty, and its calls have valid arguments."""
    said = bool(message.tool_calls) if message.finish == "tool_calls" else bool(message.text.strip())
    return message.ended_properly and said and all(map(_is_readable, message.tool_calls))


def deltas_of(message: AssistantMessage) -> Iterator[BackendEvent]:
    """The message as stream events."""
    yield from map(ReasoningDelta, _pieces(message.reasoning))
    yield from map(TextDelta, _pieces(message.text))
    for position, call in enumerate(message.tool_calls):
        yield ToolCallDelta(position, name=call.name)
        for piece in _pieces(call.arguments):
            yield ToolCallDelta(position, piece)


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _is_readable(call: ToolCall) -> bool:
    try:
        return bool(call.name) and isinstance(json.loads(call.arguments), dict)
    except (ValueError, RecursionError):
        return False
