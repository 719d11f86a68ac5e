"""A command's output for the model: plain text, head and tail kept, the cut counted, memory bounded."""

import re
from collections import deque
from dataclasses import dataclass

from vmpilot.machine.processes.output_file import OutputFile

_LINE_LIMIT = 8_192
"""Characters of an unfinished line that are held back, because a carriage return may overwrite them."""
_ESCAPE_LIMIT = 4_096
"""Characters of an unfinished escape sequence that are held back."""

# ECMA-48 (control sequences, control strings, two-character escapes). Quantifiers are possessive: linear time.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*+[0-~]"
)
_UNFINISHED_ESCAPE = re.compile(r"(?:\x9b|\x1b\[)[0-?]*+[ -/]*+\Z|\x1b(?:[\]PX^_][^\x07\x1b]*+\x1b?+|[ -/]*+)\Z")
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_OVERSTRUCK = re.compile(r"[^\n\x08]\x08")


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """How many characters of a command's output are kept, and after how many bytes in total the command is ended."""

    head: int = 20_000
    tail: int = 20_000
    flood: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CappedText:
    """Text whose middle may be missing; if it is, `text` says so and `cut_chars` is above 0."""

    text: str
    total_chars: int
    cut_chars: int = 0
    cut_lines: int = 0


class OutputBuffer:
    """Keeps the first `head` and the last `tail` characters of what is appended, and counts the rest."""

    def __init__(self, *, head: int = 20_000, tail: int = 20_000) -> None:
        self._limit = head + tail
        self._head_room = head
        self._tail_limit = tail
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self._total_chars = 0
        self._total_lines = 0

    def append(self, text: str) -> None:
        """Append `text`."""
        self._total_chars += len(text)
        self._total_lines += text.count("\n")
        if self._head_room:
            taken = text[: self._head_room]
            self._head.append(taken)
            self._head_room -= len(taken)
            text = text[len(taken) :]
        if text:
            self._append_to_tail(text)

    @property
    def total_chars(self) -> int:
        """How many characters were appended."""
        return self._total_chars

    @property
    def is_cut(self) -> bool:
        """Whether more was appended than is kept."""
        return self._total_chars > self._limit

    def capped(self, *, elsewhere: str = "") -> CappedText:
        """What was kept, with a line for the cut that gives its size, and `elsewhere`: where the whole text is."""
        head, tail = "".join(self._head), "".join(self._tail)
        tail = tail[max(0, len(tail) - self._tail_limit) :]
        cut_chars = self._total_chars - len(head) - len(tail)
        if not cut_chars:
            return CappedText(head + tail, self._total_chars)
        cut_lines = self._total_lines - head.count("\n") - tail.count("\n")
        counted = f"{cut_chars:,} character{'s' if cut_chars != 1 else ''}"
        if cut_lines:
            counted += f" ({cut_lines:,} line{'s' if cut_lines != 1 else ''})"
        before = "\n" if head and not head.endswith("\n") else ""
        after = "\n" if tail and not tail.startswith("\n") else ""
        text = f"{head}{before}[… {counted} cut{elsewhere and f'; {elsewhere}'} …]{after}{tail}"
        return CappedText(text, self._total_chars, cut_chars, cut_lines)

    def _append_to_tail(self, text: str) -> None:
        text = text[max(0, len(text) - self._tail_limit) :]
        self._tail.append(text)
        self._tail_chars += len(text)
        while self._tail_chars - len(self._tail[0]) >= self._tail_limit and len(self._tail) > 1:
            self._tail_chars -= len(self._tail.popleft())


class KeptOutput:
    """The output that is kept in memory; as soon as something is cut, the whole is in a file."""

    def __init__(self, *, head: int, tail: int, file: OutputFile | None = None) -> None:
        self._buffer = OutputBuffer(head=head, tail=tail)
        self._file = file
        self._pieces: list[str] = []

    def append(self, text: str) -> None:
        """Append `text`, which must be masked."""
        self._buffer.append(text)
        if self._file is None:
            return
        self._pieces.append(text)
        if self._buffer.is_cut:
            self._file.append("".join(self._pieces))
            self._pieces.clear()

    def capped(self) -> CappedText:
        """What is kept in memory; the cut names the file."""
        return self._buffer.capped(elsewhere=self.whereabouts)

    @property
    def whereabouts(self) -> str:
        """Where the whole output is; empty if it is in memory."""
        if self._file is None or self._file.path is None:
            return ""
        return f"{'full output' if self._file.whole else 'beginning'} in {self._file.path}"

    def close(self) -> None:
        """Nothing more is appended."""
        if self._file is not None:
            self._file.close()


def plain_text(text: str) -> str:
    """`text` roughly as a terminal shows it: no escape sequences, no control characters except newline and tab, and
    only the last state of a line that was overwritten after carriage returns. Linear time.
    """
    plain = PlainText()
    return plain.feed(text) + plain.flush()


class PlainText:
    """`plain_text` for streamed text; it runs before capping, so that the caps count what the model sees.

    It holds back the unfinished line (up to 8,192 characters; earlier parts of a longer line can no longer be
    overwritten) and an unfinished escape sequence (up to 4,096).
    """

    def __init__(self) -> None:
        self._line = ""
        self._escape = ""

    @property
    def unfinished(self) -> str:
        """The unfinished line as it is now."""
        return _collapse_lines(self._line)

    def feed(self, piece: str) -> str:
        """Take the next piece; what is settled."""
        text = self._line + self._remove_escapes(self._escape + piece)
        end = text.rfind("\n") + 1
        settled, line = _collapse_lines(text[:end]), _collapse_line(text[end:])
        line += "\r" if text.endswith("\r") and text[end:] else ""  # a newline may follow
        if len(line) <= _LINE_LIMIT:
            self._line = line
            return settled
        self._line = "\r" if line.endswith("\r") else ""
        return settled + _remove_overstruck(line.removesuffix("\r"))

    def flush(self) -> str:
        """The text has ended: what was held back, without an unfinished escape sequence."""
        text = _collapse_lines(self._line)
        self._line = self._escape = ""
        return text

    def _remove_escapes(self, text: str) -> str:
        self._escape = ""
        if "\x1b" in text or "\x9b" in text:
            unfinished = _UNFINISHED_ESCAPE.search(text)
            if unfinished and len(text) - unfinished.start() <= _ESCAPE_LIMIT:
                self._escape, text = unfinished.group(), text[: unfinished.start()]
            text = _ESCAPE.sub("", text)
        return _CONTROL.sub("", text)


def _collapse_lines(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_collapse_line(line) for line in text.split("\n"))
    return _remove_overstruck(text)


def _collapse_line(line: str) -> str:
    line = line.rstrip("\r")
    return line[line.rfind("\r") + 1 :]


def _remove_overstruck(text: str) -> str:
    if "\b" not in text:
        return text
    return _OVERSTRUCK.sub("", text).replace("\b", "")
