"""Passages of an answer that contain no calls: blocks, repeated tool output, reasoning in the text."""

from __future__ import annotations

import re
from typing import Protocol

from vmpilot.engine.text_tools._fences import Fence
from vmpilot.engine.text_tools._shapes import TAGS

_TAG = re.compile(r" {0,3}<(think|thinking|output-[0-9a-f]{6,})>")
_QUOTING = ("<think>", "<thinking>", "<output-")
_LONGEST_OPENING = 200
_DEEPEST = 3
"""Maximum indentation of a line that is not code."""


class Quotation(Protocol):
    """One passage."""

    def may_end_with(self, beginning: str) -> bool:
        """Whether a line with this beginning may be its last."""
        ...

    def ended_within(self, part: str) -> bool:
        """Whether the passage ends in this next part of a line."""
        ...

    def ended_by(self, line: str) -> bool:
        """Whether the passage ends in this complete line."""
        ...


def open_quotation(line: str) -> Quotation | None:
    """The passage that starts with this line."""
    if fence := Fence.opened_by(line):
        return FencedQuotation(fence)
    tag = _TAG.match(line)
    if tag is None:
        return None
    quotation = _TaggedQuotation(f"</{tag[1]}>")
    return None if quotation.ended_by(line) else quotation


def may_open(beginning: str, word: str) -> bool | None:
    """Whether a line that starts like this begins something other than text; None if not yet known."""
    text = beginning.lstrip(" ")
    if not text.strip():
        return None if len(beginning) <= _LONGEST_OPENING else False
    if text[0] in "`~":
        opens = None if text[:3] == text[0] * len(text[:3]) else False
    elif len(beginning) - len(text) > _DEEPEST:
        opens = False
    elif text[0] == "[":
        opens = _may_open_array(text)
    else:
        opens = _may_open_tag(text, word)
    return False if opens is None and len(beginning) > _LONGEST_OPENING else opens


def _may_open_array(text: str) -> bool | None:
    inside = text[1:].lstrip()
    if inside.startswith("{") or text.startswith("[TOOL_CALLS]"):
        return True
    return None if not inside or "[TOOL_CALLS]".startswith(text) else False


def _may_open_tag(text: str, word: str) -> bool | None:
    if text.startswith(("{", *TAGS, word)):
        return True
    return None if any(tag.startswith(text) or text.startswith(tag) for tag in (*TAGS, *_QUOTING, word)) else False


class FencedQuotation:
    """A block."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence

    def may_end_with(self, beginning: str) -> bool:
        return not beginning.strip().strip(self._fence.marks[0]) and len(beginning) <= _LONGEST_OPENING

    def ended_within(self, part: str) -> bool:  # noqa: ARG002  only whole lines end it
        return False

    def ended_by(self, line: str) -> bool:
        return self._fence.closed_by(line)


class _TaggedQuotation:
    """A passage up to a closing tag, which may arrive in chunks."""

    def __init__(self, closing: str) -> None:
        self._closing = closing
        self._tail = ""

    def may_end_with(self, beginning: str) -> bool:  # noqa: ARG002  parts of a line end it as well
        return False

    def ended_within(self, part: str) -> bool:
        text = self._tail + part
        self._tail = text[1 - len(self._closing) :]
        return self._closing in text

    def ended_by(self, line: str) -> bool:
        return self.ended_within(line)
