"""How a tool call is shown: its command in bold, the first lines of output, how many more there are, how it ended."""

from __future__ import annotations

import json
import re

from vmpilot.cli._style import Style, printable
from vmpilot.contract import ToolCall, ToolFinished, ToolStarted
from vmpilot.machine.processes.output import plain_text

_FOR_THE_MODEL = re.compile(r" (?:The user can|Do not try to get around it|Make (?:it|the call) again)\b.*", re.DOTALL)


class ToolView:
    """Collects a call's live output in lines. Each is shown or counted; `max_lines` None shows all."""

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
        """The call has ended: show the rest of its output, the number of hidden lines, and a nonzero exit code."""
        self.done = True
        silent = not self._count and not self._rest
        if silent and event.exit_code is None and not event.result.is_error and "\n" not in self.title:
            self.add(event.result.text.rstrip())  # not a command, and the title is a single line
        if self._rest:
            self._add_line(self._rest)
            self._rest = ""
        if self._max_lines is not None and (hidden := self._count - self._max_lines) > 0:
            self._ready.append(self._style.dim(f"(and {hidden} more line{'s' if hidden > 1 else ''})"))
        if event.exit_code:
            self._ready.append(self._style.dim(f"(exit code {event.exit_code})"))
        elif event.result.is_error:
            self._ready.append(self._style.dim(printable(event.result.text.rstrip().rsplit("\n", 1)[-1])))

    def take_lines(self) -> list[str]:
        """The lines that are ready to be shown and were not taken before."""
        ready, self._ready = self._ready, []
        return ready

    def _add_line(self, line: str) -> None:
        self._count += 1
        if self._max_lines is None or self._count <= self._max_lines:
            self._ready.append(self._style.dim(printable(plain_text(line))))


def describe_call(call: ToolCall) -> str:
    """A title for a call that has none: the tool and its argument, or all of its arguments as JSON."""
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
    """A notice on one line: its first line, which says what happened, and its last, which has the reason."""
    first, *more = text.strip().split("\n")
    if not more:
        return first
    return (
        f"{first} {more[-1].strip()}" if len(more) == 1 else f"{first} … {more[-1].strip()} (use -v to see all of it)"
    )


def denial_reason(text: str) -> str:
    """Why a call was not run, without the advice that is meant for the model."""
    return _FOR_THE_MODEL.sub("", text)
