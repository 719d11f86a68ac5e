"""How a tool call looks: its command in bold, the first lines of output, how many more there were, how it ended."""

from __future__ import annotations

import json
import re

from vmpilot.cli._style import Style, printable
from vmpilot.contract import ToolCall, ToolFinished, ToolStarted
from vmpilot.machine.processes.output import plain_text

_FOR_THE_MODEL = re.compile(r" (?:The user can|Do not try to get around it|Make (?:it|the call) again)\b.*", re.DOTALL)


class ToolView:
    """Collects a call's live output by lines. `max_lines` None shows all; every line is shown or counted."""

    def __init__(self, started: ToolStarted, style: Style, *, max_lines: int | None) -> None:
        self.call_id = started.call.id
        self.title = started.title
        self.done = False
        self._style = style
        self._max_lines = max_lines
        self._rest = ""
        self._count = 0
        self._ready: list[str] = []

    def add(self, text: str) -> None:
        """More output."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._add_line(line)

    def finish(self, event: ToolFinished) -> None:
        """The call is over: what is left of its output, the count of hidden lines, an exit code that is not 0."""
        self.done = True
        if self._tells_by_its_result(event):
            self.add(event.result.text.rstrip())
        if self._rest:
            self._add_line(self._rest)
            self._rest = ""
        if self._max_lines is not None and (hidden := self._count - self._max_lines) > 0:
            self._ready.append(self._style.dim(f"(and {hidden} more line{'s' if hidden > 1 else ''})"))
        if event.exit_code:
            self._ready.append(self._style.dim(f"(exit code {event.exit_code})"))
        elif event.result.is_error:
            self._ready.append(self._style.dim(printable(event.result.text.rstrip().rsplit("\n", 1)[-1])))

    def _tells_by_its_result(self, event: ToolFinished) -> bool:
        """Whether it had no live output, is no command, and showed no more than a line before it ran."""
        silent = not self._count and not self._rest
        return silent and event.exit_code is None and not event.result.is_error and "\n" not in self.title

    def take_lines(self) -> list[str]:
        """The lines that are ready to be shown and were not taken yet."""
        ready, self._ready = self._ready, []
        return ready

    def _add_line(self, line: str) -> None:
        self._count += 1
        if self._max_lines is None or self._count <= self._max_lines:
            self._ready.append(self._style.dim(printable(plain_text(line))))


def describe_call(call: ToolCall) -> str:
    """A call that never came to have a title: the tool, and its argument where there is one, else all of them."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"{call.name} {call.arguments}"
    match list(arguments.values()) if isinstance(arguments, dict) else []:
        case [str(only)]:
            return f"{call.name}: {only}"
        case _:
            return f"{call.name} {json.dumps(arguments, ensure_ascii=False)}"


def shortened(text: str) -> str:
    """A notice on one line: the first line, which says what happened, and the last one, where the reason is."""
    first, *more = text.strip().split("\n")
    if not more:
        return first
    return f"{first} {more[-1].strip()}" if len(more) == 1 else f"{first} … {more[-1].strip()} (-v shows all of it)"


def refusal(text: str) -> str:
    """Why a call was not run, without what only the model is told."""
    return _FOR_THE_MODEL.sub("", text)
