"""A call that begins with the mark, as it comes: a block, or one line of JSON behind the word."""

from __future__ import annotations

from vmpilot.engine.text_tools.envelope import FoundCall, read_marked
from vmpilot.engine.text_tools.fences import Fence


class MarkedCall:
    """The call's lines, `size` characters. One without a fence is over with its first line."""

    def __init__(self, fence: Fence | None, first: str) -> None:
        self.size = 0
        self.is_over = fence is None
        self._fence = fence
        self._lines = [first]
        self._begun = bool(first.strip())

    @classmethod
    def begun_by(cls, line: str, word: str) -> MarkedCall | None:
        """The call that the line begins, which may have some of it behind the word."""
        fence = Fence.opened_by(line)
        text = fence.info if fence else line.strip()
        if not text.startswith(word) or line.startswith(("    ", "\t")):
            return None
        behind = text.removeprefix(word)
        if fence:
            return cls(fence, behind) if not behind or behind[0] in " \t{[" else None
        behind = behind.removeprefix(":").lstrip()
        return cls(None, behind) if behind.startswith(("{", "[")) else None

    def take(self, line: str) -> None:
        """Add a line."""
        if self._fence is None or self._fence.closed_by(line):
            self.is_over = True
            return
        self.size += len(line)
        text = line.rstrip()
        self.is_over = not self._begun and text.endswith(self._fence.marks)
        self._begun = self._begun or bool(text)
        self._lines.append(text.removesuffix(self._fence.marks) if self.is_over else line)

    def read(self) -> list[FoundCall]:
        """The calls that it holds, at least one."""
        return read_marked("".join(self._lines))
