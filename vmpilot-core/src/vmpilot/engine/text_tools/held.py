"""What is held back of an answer: one or several shapes, one directly after the other, that may be calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from vmpilot.engine.text_tools.envelope import FoundCall
from vmpilot.engine.text_tools.fences import Fence
from vmpilot.engine.text_tools.shapes import Progress, Shape


class Held:
    """Whole lines, and the shapes in them. `is_open` while the last shape goes on."""

    def __init__(self) -> None:
        self.is_open = False
        self.lines: list[str] = []
        self.size = 0
        self._shapes: list[Shape] = []

    @property
    def fence(self) -> Fence | None:
        """The block that the last line stands in."""
        return self._shapes[-1].fence if self.is_open else None

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def begin(self, shape: Shape, line: str) -> bool:
        """A further shape begins with this line; whether all may still be calls."""
        self._shapes.append(shape)
        self.is_open = True
        return self.take(line)

    def take(self, line: str) -> bool:
        """A line of the last shape; whether all may still be calls."""
        self.add(line)
        progress = self._shapes[-1].take(line)
        self.is_open = progress is not Progress.ENDED
        return progress is not Progress.NO_CALL

    def add(self, line: str) -> None:
        """A blank line behind a shape."""
        self.lines.append(line)
        self.size += len(line)

    def calls(self, tools: Collection[str], *, is_quoted: Callable[[str, Iterable[str]], bool]) -> list[FoundCall]:
        """The calls, if all of it is calls of these tools that are not quoted; else none."""
        try:
            calls = [call for shape in self._shapes for call in shape.read()]
        except (ValueError, RecursionError):
            return []
        names = {call.name for call in calls}
        return calls if names <= set(tools) and not is_quoted(self.text, names) else []
