"""The forms of calls without the mark: each shape consumes complete lines and reports when it ends or does not match.

Shapes: a fenced block of JSON, JSON by itself, `<tool_call>` (Hermes, Qwen), `<function=NAME>` (Llama),
`[TOOL_CALLS]` (Mistral).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Protocol

from vmpilot.engine.text_tools._envelope import (
    ARGUMENT_KEYS,
    NAME_KEYS,
    PASSED_OVER,
    FoundCall,
    broken_call,
    read_unmarked,
)
from vmpilot.engine.text_tools._fences import Fence

_KEYS = "|".join((*NAME_KEYS, *ARGUMENT_KEYS, *sorted(PASSED_OVER)))
_BEGINNING = re.compile(rf'[\[{{\s]*(?:"(?:{_KEYS})"\s*:|\Z)')
_LONGEST_BEGINNING = 200
_PLAIN = frozenset({"", "json"})
_CLEAR = frozenset({"tool", "tool_call", "tool_calls"})
_FUNCTION = re.compile(r"<function=([\w.-]{1,64})>")
_JSON_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|["{}\[\]]')

_HERMES, _LLAMA, _MISTRAL = "<tool_call>", "<function=", "[TOOL_CALLS]"
TAGS = (_HERMES, _LLAMA, _MISTRAL)


class Progress(Enum):
    """The effect of a line on a shape."""

    INSIDE = auto()
    ENDED = auto()
    NO_CALL = auto()


class Shape(Protocol):
    """Text that may be a call; `fence` is the block that contains its lines."""

    @property
    def fence(self) -> Fence | None: ...

    def take(self, line: str) -> Progress:
        """Add a complete line."""
        ...

    def read(self) -> list[FoundCall]:
        """The calls; raises `ValueError` or `RecursionError` without any."""
        ...


def open_shape(line: str) -> Shape | None:
    """The shape that starts with this line, which is not added yet."""
    text = line.strip()
    if line.startswith(("    ", "\t")):
        return None
    if fence := Fence.opened_by(line):
        return _Fenced(fence) if fence.info in _PLAIN | _CLEAR else None
    if text.startswith(_HERMES):
        return _Tagged(_HERMES, "</tool_call>")
    if function := _FUNCTION.match(text):
        return _Tagged(function[0], "</function>", name=function[1])
    if text.startswith(_MISTRAL):
        return _Bare(_MISTRAL)
    return _Bare() if text.startswith(("{", "[")) else None


class _Fenced:
    """A block of JSON. Any other content is recognized by its first words."""

    def __init__(self, fence: Fence) -> None:
        self.fence: Fence | None = fence
        self._opened = fence
        self._begun = False
        self._beginning = _Beginning()
        self._lines: list[str] = []

    def take(self, line: str) -> Progress:
        if not self._begun:
            self._begun = True
            return Progress.INSIDE
        if self._opened.closed_by(line):
            return Progress.ENDED
        self._lines.append(line)
        return Progress.INSIDE if self._opened.info in _CLEAR else self._beginning.take(line)

    def read(self) -> list[FoundCall]:
        return _read("".join(self._lines), clear=self._opened.info in _CLEAR)


class _Tagged:
    """JSON between two tags; the name is in the first tag or in the JSON."""

    fence = None

    def __init__(self, opening: str, closing: str, *, name: str = "") -> None:
        self._opening = opening
        self._closing = closing
        self._name = name
        self._lines: list[str] = []

    def take(self, line: str) -> Progress:
        text = line if self._lines else line.lstrip().removeprefix(self._opening)
        body, closed, behind = text.partition(self._closing)
        self._lines.append(body)
        if not closed:
            return Progress.INSIDE
        return Progress.NO_CALL if behind.strip() else Progress.ENDED

    def read(self) -> list[FoundCall]:
        body = "".join(self._lines)
        return [FoundCall(self._name, body.strip())] if self._name else _read(body, clear=True)


class _Bare:
    """JSON by itself: over when its last bracket is closed."""

    fence = None

    def __init__(self, opening: str = "") -> None:
        self._opening = opening
        self._beginning = _Beginning()
        self._depth = 0
        self._lines: list[str] = []

    def take(self, line: str) -> Progress:
        text = line if self._lines else line.lstrip().removeprefix(self._opening)
        self._lines.append(text)
        for found in _JSON_MARK.finditer(text):
            if found[0] == '"':
                return Progress.NO_CALL  # a JSON string never spans several lines
            self._depth += found[0] in "{["
            self._depth -= found[0] in "}]"
            if self._depth <= 0 and found[0] in "}]":
                behind = text[found.end() :].strip()
                return Progress.NO_CALL if behind else Progress.ENDED
        return Progress.INSIDE if self._opening else self._beginning.take(text)

    def read(self) -> list[FoundCall]:
        return _read("".join(self._lines), clear=bool(self._opening))


class _Beginning:
    """Checks the first words of possible JSON until it is clear whether they start a call."""

    def __init__(self) -> None:
        self._text: str | None = ""

    def take(self, line: str) -> Progress:
        if self._text is None:
            return Progress.INSIDE
        self._text += line[:_LONGEST_BEGINNING]
        found = _BEGINNING.match(self._text)
        if found is None or len(self._text) > _LONGEST_BEGINNING + _LONGEST_BEGINNING:
            return Progress.NO_CALL
        if found[0].rstrip().endswith(":"):
            self._text = None
        return Progress.INSIDE


def _read(text: str, *, clear: bool) -> list[FoundCall]:
    """After a tag that is used only for calls, broken JSON is a broken call."""
    try:
        return read_unmarked(text)
    except (ValueError, RecursionError):
        call = broken_call(text)
        if clear and call.name:
            return [call]
        raise
