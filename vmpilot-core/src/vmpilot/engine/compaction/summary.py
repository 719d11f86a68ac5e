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
"""Makes one call to the model, with a system prompt and the user's text, and gives its answer."""

MAX_CALLS = 12
SMALLEST_PART = 200
_SPOKEN, _ARGUMENTS, _OUTPUT = 20_000, 1_000, 2_000
"""Characters of one passage of the transcript."""
_FULL = 0.75
"""Share of its room that a part has at least, so that it may end between two passages."""

_MARK = 20


async def summarise(messages: Iterable[Message], ask: Ask, *, room: int, longest: int) -> str:
    """The summary, of at most about `longest` tokens; `room` are those of a part of the transcript.

    Parts that the model finds too long are halved. What cannot be asked about in `MAX_CALLS` calls is left out, the
    oldest first, and a mark says so. Raises `ContextOverflow` if the smallest part is too long, and whatever else
    the model fails with.
    """
    mark = f"=== {secrets.token_hex(4)}"  # tool output cannot know it, so it cannot imitate it
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
    return f"{mark} summary of what was before\n{summary}\n\n" if summary else ""


def _newest(text: str, room: int) -> str:
    """The end of the text, as far as there is room for it, and a mark if that is not all."""
    if estimate_text_tokens(text) <= room:
        return text
    start = len(text) - _characters(text, max(room - _MARK, 1))
    return f"(The first {start:,} characters of the transcript are left out.)\n{text[start:]}"


def _split(text: str, room: int, mark: str) -> tuple[str, str]:
    """What there is room for and the rest, between two passages if there is such a place."""
    end = _characters(text, room)
    if end >= len(text):
        return text, ""
    between = text.rfind(f"\n{mark} ", int(end * _FULL), end)
    end = between + 1 if between > 0 else end
    return text[:end], text[end:]


def _characters(text: str, room: int) -> int:
    """How many of the text's characters have about so many tokens."""
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
    """The instruction; `mark` begins the line above each passage of the transcript, `words` is the summary's limit."""
    template = files("vmpilot.engine.prompts").joinpath("summary.md").read_text(encoding="utf-8")
    return template.format(mark=mark, words=words).strip()
