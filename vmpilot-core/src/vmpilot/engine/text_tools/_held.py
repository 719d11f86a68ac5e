"""The held-back part of an answer: consecutive shapes that may be calls, and a call with the mark."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from vmpilot.engine.text_tools._envelope import FoundCall, read_marked
from vmpilot.engine.text_tools._fences import Fence
from vmpilot.engine.text_tools._shapes import Progress, Shape


class Held:
    """Complete lines that may be calls, and the shapes in them. `is_open` while the last shape continues."""

    def __init__(self) -> None:
        self.is_open = False
        self.lines: list[str] = []
        self.size = 0
        self._shapes: list[Shape] = []

    @property
    def fence(self) -> Fence | None:
        """The block that contains the last line."""
        return self._shapes[-1].fence if self.is_open else None

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def begin(self, shape: Shape, line: str) -> bool:
        """Start another shape with this line; return whether everything may still be calls."""
        self._shapes.append(shape)
        self.is_open = True
        return self.take(line)

    def take(self, line: str) -> bool:
        """Add a line to the last shape; return whether everything may still be calls."""
        self.add(line)
        progress = self._shapes[-1].take(line)
        self.is_open = progress is not Progress.ENDED
        return progress is not Progress.NO_CALL

    def add(self, line: str) -> None:
        """Add a blank line after a shape."""
        self.lines.append(line)
        self.size += len(line)

    def calls(self, tools: Collection[str], *, is_quoted: Callable[[str, Iterable[str]], bool]) -> list[FoundCall]:
        """The calls, if everything held is unquoted calls of these tools; otherwise empty."""
        try:
            calls = [call for shape in self._shapes for call in shape.read()]
        except (ValueError, RecursionError):
            return []
        names = {call.name for call in calls}
        return calls if names <= set(tools) and not is_quoted(self.text, names) else []


class MarkedCall:
    """A call that starts with the mark: a block, or one line of JSON after the word. `size` is in characters.

    A call without a fence ends with its first line.
    """

    def __init__(self, fence: Fence | None, first: str) -> None:
        self.size = 0
        self.is_over = fence is None
        self._fence = fence
        self._lines = [first]
        self._begun = bool(first.strip())

    @classmethod
    def begun_by(cls, line: str, word: str) -> MarkedCall | None:
        """The call that the line starts, which may continue after the word."""
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
        """The calls in it, at least one."""
        return read_marked("".join(self._lines))
