"""Summaries of messages: the model summarizes a transcript, in parts if it is long."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from importlib.resources import files
from typing import TypeAlias

from vmpilot.contract import (
    AssistantMessage,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    Message,
    TextPart,
    ToolResult,
    UserMessage,
)
from vmpilot.engine.compacted_history import shorten_text
from vmpilot.engine.tokens import BYTES_PER_TOKEN, estimate_text_tokens

Ask: TypeAlias = Callable[[str, str], Awaitable[str]]
"""Makes one call to the model with a system prompt and a user message, and returns its answer."""

MAX_CALLS = 12
SMALLEST_PART = 200
_SPOKEN, _ARGUMENTS, _OUTPUT = 20_000, 1_000, 2_000
"""Characters of one passage of the transcript."""
_FULL = 0.75
"""Minimum share of its room that a part fills, so that it can end between two passages."""

_MARK = 20


async def summarise(messages: Iterable[Message], ask: Ask, *, room: int, longest: int) -> str:
    """The summary, of about `longest` tokens at most; `room` is the size of a part of the transcript, in tokens.

    Parts that are too long for the model are halved. Text that does not fit into `MAX_CALLS` calls is omitted, oldest
    first, and marked. Raises `ContextOverflow` if the smallest part is too long, and any other error of the model.
    """
    mark = f"=== {secrets.token_hex(4)}"  # tool output cannot know the mark, so it cannot imitate it
    system = _summary_prompt(mark=mark, words=min(max(longest // 2, 50), 1_000))
    left = "\n\n".join(_passage(message, mark) for message in messages)
    summary = ""
    for number in range(MAX_CALLS):
        left = _newest(left, int(room * _FULL * (MAX_CALLS - number)))
        part, rest = _split(left, room, mark)
        try:
            summary = await ask(system, _opening(summary, mark) + part)
        except ContextOverflow:
            room = min(room, estimate_text_tokens(part)) // 2
            if room < SMALLEST_PART:
                raise
            continue
        summary = shorten_text(summary.strip(), longest * BYTES_PER_TOKEN)
        if not rest:
            return summary
        left = rest
    raise ContextOverflow("the conversation is too long to be summarized")


def spoken(message: AssistantMessage) -> str:
    """The text of a summary. Raises a `ModelError` if the answer has none."""
    if message.finish in {"content_filter", "refusal"}:
        raise ContentFiltered("the model refused to summarize it")
    if not message.text.strip():
        raise BadResponse("the model returned no summary")
    return message.text


def _opening(summary: str, mark: str) -> str:
    return f"{mark} summary of the earlier conversation\n{summary}\n\n" if summary else ""


def _newest(text: str, room: int) -> str:
    """As much of the end of the text as fits, with a mark if part of it was omitted."""
    if estimate_text_tokens(text) <= room:
        return text
    start = len(text) - _characters(text, max(room - _MARK, 1))
    return f"(The first {start:,} characters of the transcript were omitted.)\n{text[start:]}"


def _split(text: str, room: int, mark: str) -> tuple[str, str]:
    """The part of the text that fits, and the rest; split between two passages if possible."""
    end = _characters(text, room)
    if end >= len(text):
        return text, ""
    between = text.rfind(f"\n{mark} ", int(end * _FULL), end)
    end = between + 1 if between > 0 else end
    return text[:end], text[end:]


def _characters(text: str, room: int) -> int:
    """The number of characters of the text that make up about this many tokens."""
    estimate = estimate_text_tokens(text)
    return len(text) if estimate <= room else max(1, len(text) * room // estimate)


def _passage(message: Message, mark: str) -> str:
    match message:
        case UserMessage():
            parts = (part.text if isinstance(part, TextPart) else "[an image]" for part in message.content)
            text = "\n".join(parts)
            return f"{mark} user\n{shorten_text(text, _SPOKEN)}"
        case AssistantMessage():
            calls = (f"[calls {call.name} {shorten_text(call.arguments, _ARGUMENTS)}]" for call in message.tool_calls)
            said = [shorten_text(message.text, _SPOKEN)] if message.text else []
            return "\n".join([f"{mark} assistant", *said, *calls])
        case ToolResult():
            return f"{mark} output of {message.name}\n{shorten_text(message.text, _OUTPUT)}"


def _summary_prompt(*, mark: str, words: int) -> str:
    """The instruction; `mark` starts the line above each passage of the transcript, `words` is the summary's limit."""
    template = files("vmpilot.engine.prompts").joinpath("summary.md").read_text(encoding="utf-8")
    return template.format(mark=mark, words=words).strip()
