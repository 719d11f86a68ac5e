"""How a tool call looks: its command in bold, the first lines of output, how many more there were, how it ended."""

from __future__ import annotations

from collections.abc import Iterator

from vmpilot.cli.style import Style, printable
from vmpilot.contract import ToolFinished, ToolStarted
from vmpilot.tools.output import plain_text


class ToolView:
    """Collects a call's live output by lines. `max_lines` None shows all; every line is shown or counted."""

    def __init__(self, started: ToolStarted, style: Style, *, max_lines: int | None, titled: bool = True) -> None:
        self._style = style
        self._max_lines = max_lines
        self._rest = ""
        self._count = 0
        self._ready = [style.bold(printable(line)) for line in started.title.split("\n")] if titled else []

    def add(self, text: str) -> None:
        """More output."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._add_line(line)

    def finish(self, event: ToolFinished) -> None:
        """The call is over: what is left of its output, the count of hidden lines, an exit code that is not 0."""
        if self._rest:
            self._add_line(self._rest)
            self._rest = ""
        if self._max_lines is not None and self._count > self._max_lines:
            self._ready.append(self._style.dim(f"(and {self._count - self._max_lines} more lines)"))
        if event.exit_code:
            self._ready.append(self._style.dim(f"(exit code {event.exit_code})"))
        elif event.result.is_error:
            self._ready.append(self._style.dim(printable(event.result.text.rstrip().rsplit("\n", 1)[-1])))

    def take_lines(self) -> Iterator[str]:
        """The lines that are ready to be shown and were not taken yet."""
        ready, self._ready = self._ready, []
        yield from ready

    def _add_line(self, line: str) -> None:
        self._count += 1
        if self._max_lines is None or self._count <= self._max_lines:
            self._ready.append(self._style.dim(printable(plain_text(line))))
