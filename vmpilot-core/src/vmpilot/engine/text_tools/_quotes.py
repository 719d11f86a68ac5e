"""Whether text that looks like a call appeared earlier, from a tool or the user: then the model may only quote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from vmpilot.contract import AssistantMessage, Message, ToolResult, UserMessage

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\[nrtbf]|\\")
_WORD = re.compile(r"[^\W_]+")
_MOST_PHRASES = 50


class Quotes:
    """The texts of a conversation, compared by their words regardless of notation (JSON, YAML or a table)."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = messages

    def have(self, shape: str, names: Iterable[str]) -> bool:
        """Whether one text contains everything in the shape: the names of the tools, each key, each string."""
        strings = (found[1] for found in _STRING.finditer(shape))
        phrases = {phrase for text in (*strings, *names) if (phrase := _words_of(text)).strip()}
        telling = sorted(phrases, key=len, reverse=True)[:_MOST_PHRASES]
        return any(all(phrase in text for phrase in telling) for text in map(_words_of, self._texts()))

    def _texts(self) -> Iterator[str]:
        for message in self._messages:
            match message:
                case UserMessage() | ToolResult() | AssistantMessage():
                    yield message.text


def _words_of(text: str) -> str:
    """The words in lower case, each between two spaces."""
    return f" {' '.join(_WORD.findall(_ESCAPE.sub(_unescape, text))).casefold()} "


def _unescape(found: re.Match[str]) -> str:
    return json.loads(f'"{found[0]}"') if found[1] else " "
