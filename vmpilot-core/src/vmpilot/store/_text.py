"""The title, searchable text and words of an event. Pure functions, the same for every database."""

from __future__ import annotations

import re
import unicodedata

from vmpilot.contract import (
    Event,
    HistoryImported,
    MessageCompleted,
    ToolFinished,
    ToolStarted,
    TurnStarted,
    UserMessage,
)

TITLE_LENGTH = 80
SEARCHED_LENGTH = 100_000
"""Characters of one entry that are indexed; text beyond them is stored but not found."""

_WORD_LENGTH = 64
_IDEOGRAPHS = "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def title_in(event: Event) -> str:
    """The title that this event gives to a conversation without one; empty if it has none."""
    match event:
        case TurnStarted():
            return title_from(event.message.text)
        case HistoryImported():
            said = (message.text for message in event.messages if isinstance(message, UserMessage))
            return next(filter(None, map(title_from, said)), "")
        case _:
            return ""


def title_from(text: str) -> str:
    """The first line with visible text, cut to the length of a title, without control characters."""
    for line in text.splitlines():
        if title := _UNPRINTABLE.sub(" ", line).strip():
            return title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1]}…"
    return ""


def searched_text(event: Event) -> str:
    """The text of the user, the assistant or a tool in this event."""
    match event:
        case TurnStarted():
            return event.message.text
        case MessageCompleted():
            return event.message.text
        case ToolStarted():
            return event.title
        case ToolFinished():
            return event.result.text if event.denied is None else f"{event.denied.title}\n{event.result.text}"
        case HistoryImported():
            return "\n".join(message.text for message in event.messages)
        case _:
            return ""


def words_in(text: str) -> list[str]:
    """The distinct words of a text in lowercase ASCII letters and digits, sorted.

    Case and accents are ignored; each ideograph is a word. Other letters become their code points.
    """
    text = text[:SEARCHED_LENGTH]
    if text.isascii():
        return sorted({word[:_WORD_LENGTH] for word in _WORD.findall(text.lower())})
    return sorted({fold(found.group()) for found in _WORD.finditer(unicodedata.normalize("NFC", text))} - {""})


def fold(word: str) -> str:
    """The form used to compare words."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))
    kept = (letter for letter in plain.casefold() if letter.isalnum())
    return "".join(letter if letter.isascii() else f"x{ord(letter):x}" for letter in kept)[:_WORD_LENGTH]


def excerpt(text: str, words: list[str], *, width: int = 160) -> str:
    """The text around the first word that starts with one of `words`, in one line."""
    text = unicodedata.normalize("NFC", text[:SEARCHED_LENGTH])
    found = (match.start() for match in _WORD.finditer(text) if fold(match.group()).startswith(tuple(words)))
    start = max(next(found, 0) - width // 3, 0)
    piece = _UNPRINTABLE.sub(" ", text[start : start + width]).strip()
    return f"{'…' if start else ''}{piece}{'…' if start + width < len(text) else ''}"
