"""Applies a compaction entry of the log to the conversation's messages: pure functions, no model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vmpilot.contract import AssistantMessage, HistoryCompacted, Message, ToolResult, UserMessage

ASK = UserMessage.from_text("(The conversation was too long to keep in full. Summarize it so that it can continue.)")
"""Precedes the summary, which is an assistant message, so that instructions from tools in it gain no authority."""

_HEAD = 0.7
_MARK_ROOM = 100


def compact(messages: Sequence[Message], event: HistoryCompacted) -> tuple[Message, ...]:
    """The messages as sent from the event on; valid if they were valid before."""
    at = find_kept(messages, event.kept)
    before, kept = messages[:at], messages[at:]
    if event.summary:
        return (ASK, AssistantMessage(event.summary), *last_request(before), *kept)
    if event.output_limit > 0:
        return (*(shorten(message, event.output_limit) for message in before), *kept)
    return tuple(messages)


def find_kept(messages: Sequence[Message], count: int) -> int:
    """The index at which the model's last `count` messages since the last request start."""
    at = len(messages)
    for place in reversed(range(len(messages))):
        if count <= 0 or isinstance(messages[place], UserMessage):
            break
        if isinstance(messages[place], AssistantMessage):
            at, count = place, count - 1
    return at


def last_request(messages: Sequence[Message]) -> tuple[UserMessage, ...]:
    """The user's last message, alone, or empty."""
    for message in reversed(messages):
        if isinstance(message, UserMessage):
            return (message,)
    return ()


def left_out(messages: Sequence[Message], kept: int) -> tuple[Message, ...]:
    """The messages that a summary replaces: all except the last request and the messages that are kept."""
    before = messages[: find_kept(messages, kept)]
    request = next((place for place in reversed(range(len(before))) if isinstance(before[place], UserMessage)), -1)
    return tuple(message for place, message in enumerate(before) if place != request)


def shorten(message: Message, limit: int) -> Message:
    """A tool's result with its output cut to about `limit` characters and a mark; any other message unchanged."""
    if not isinstance(message, ToolResult) or len(message.text) <= limit + _MARK_ROOM:
        return message
    return msgspec.structs.replace(message, text=shorten_text(message.text, limit))


def shorten_text(text: str, limit: int) -> str:
    """Head and tail of the text, with the number of omitted characters between them. Shortened text stays unchanged."""
    if len(text) <= limit + _MARK_ROOM:
        return text
    head = int(limit * _HEAD)
    tail = len(text) - (limit - head)
    return f"{text[:head]}\n[… {tail - head:,} characters omitted to save space …]\n{text[tail:]}"
