"""Fenced blocks of Markdown, line by line: https://spec.commonmark.org/0.31.2/#fenced-code-blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENING = re.compile(r"( *)(`{3,}|~{3,})[ \t]*([^\r\n]*)")
_CODE = 4
"""Extra spaces before a line that make it part of the block's content."""


@dataclass(frozen=True, slots=True)
class Fence:
    """A block's first line: its backticks or tildes, the text after them, and the spaces before them."""

    marks: str
    info: str
    indent: int

    @classmethod
    def opened_by(cls, line: str) -> Fence | None:
        """The block that the line starts, if any; an indented block may be in a list."""
        found = _OPENING.match(line)
        if found is None or (found[2][0] == "`" and "`" in found[3]):
            return None
        return cls(found[2], found[3].strip(), len(found[1]))

    def closed_by(self, line: str) -> bool:
        """Whether the line ends the block."""
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        return len(text) >= len(self.marks) and not text.strip(self.marks[0]) and indent < self.indent + _CODE
