"""What a command printed, made fit for a model: plain text, head and tail kept, the cut counted, memory bounded.

Live output for people is `live_output`; masking of secrets is `masking`.
"""

import re
from collections import deque
from dataclasses import dataclass

from vmpilot.machine.processes.output_file import OutputFile

_LINE_LIMIT = 8_192
"""Characters of an unfinished line that are held back, for a carriage return may still overwrite them."""
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
    """How much of a command's output is kept (characters) and at how many bytes in all the command is ended."""

    head: int = 20_000
    tail: int = 20_000
    flood: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CappedText:
    """Text of which the middle may be missing; where it is, `text` says so and `cut_chars` is above 0."""

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
        """Add `text` after what was added before."""
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
        """How much was appended."""
        return self._total_chars

    @property
    def is_cut(self) -> bool:
        """Whether more was appended than is kept."""
        return self._total_chars > self._limit

    def capped(self, *, elsewhere: str = "") -> CappedText:
        """Give what was kept, with a line that tells the size of the cut in place of what was not, and `elsewhere`:
        where the whole text is.
        """
        head, tail = "".join(self._head), "".join(self._tail)
        tail = tail[max(0, len(tail) - self._tail_limit) :]
        cut_chars = self._total_chars - len(head) - len(tail)
        if not cut_chars:
            return CappedText(head + tail, self._total_chars)
        cut_lines = self._total_lines - head.count("\n") - tail.count("\n")
        text = _join_around_cut(head, tail, note=_describe_cut(cut_chars, cut_lines, elsewhere))
        return CappedText(text, self._total_chars, cut_chars, cut_lines)

    def _append_to_tail(self, text: str) -> None:
        text = text[max(0, len(text) - self._tail_limit) :]
        self._tail.append(text)
        self._tail_chars += len(text)
        while self._tail_chars - len(self._tail[0]) >= self._tail_limit and len(self._tail) > 1:
            self._tail_chars -= len(self._tail.popleft())


class KeptOutput:
    """What is kept of an output in memory, and the whole in a file as soon as that is not all."""

    def __init__(self, *, head: int, tail: int, file: OutputFile | None = None) -> None:
        self._buffer = OutputBuffer(head=head, tail=tail)
        self._file = file
        self._pieces: list[str] = []

    def append(self, text: str) -> None:
        """Add `text`, which must be masked."""
        self._buffer.append(text)
        if self._file is None:
            return
        self._pieces.append(text)
        if self._buffer.is_cut:
            self._file.append("".join(self._pieces))
            self._pieces.clear()

    def capped(self) -> CappedText:
        """Give what is kept in memory, the cut naming the file."""
        return self._buffer.capped(elsewhere=self.whereabouts)

    @property
    def whereabouts(self) -> str:
        """Where all of it is; empty while that is here."""
        if self._file is None or self._file.path is None:
            return ""
        return f"{'the whole' if self._file.whole else 'the beginning'} is in {self._file.path}"

    def close(self) -> None:
        """Nothing is added any more."""
        if self._file is not None:
            self._file.close()


def _describe_cut(characters: int, lines: int, elsewhere: str) -> str:
    counted = f" ({lines:,} line{'s' if lines != 1 else ''})" if lines else ""
    return (
        f"[… {characters:,} character{'s' if characters != 1 else ''}{counted} cut{elsewhere and f'; {elsewhere}'} …]"
    )


def _join_around_cut(head: str, tail: str, *, note: str) -> str:
    before = "\n" if head and not head.endswith("\n") else ""
    after = "\n" if tail and not tail.startswith("\n") else ""
    return f"{head}{before}{note}{after}{tail}"


def plain_text(text: str) -> str:
    """Give `text` as a terminal would leave it, near enough: no escape sequences, no control characters but newline
    and tab, and of a line that was overwritten after carriage returns only the last state. Linear time.
    """
    plain = PlainText()
    return plain.feed(text) + plain.flush()


class PlainText:
    """`plain_text` for text that comes in pieces; it works before capping, so that the caps count what the model sees.

    It holds back the unfinished line (up to 8,192 characters: of a longer line the parts before are beyond
    overwriting) and an unfinished escape sequence (up to 4,096).
    """

    def __init__(self) -> None:
        self._line = ""
        self._escape = ""

    @property
    def unfinished(self) -> str:
        """The unfinished line as it is now."""
        return _collapse_lines(self._line)

    def feed(self, piece: str) -> str:
        """Take the next piece and give what is settled by now."""
        text = self._line + self._remove_escapes(self._escape + piece)
        end = text.rfind("\n") + 1
        settled, line = _collapse_lines(text[:end]), _collapse_open_line(text[end:])
        if len(line) <= _LINE_LIMIT:
            self._line = line
            return settled
        self._line = "\r" if line.endswith("\r") else ""
        return settled + _remove_overstruck(line.removesuffix("\r"))

    def flush(self) -> str:
        """Give what was held back (an unfinished escape sequence is dropped); the text is over."""
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


def _collapse_open_line(line: str) -> str:
    """Like `_collapse_line`; a carriage return at the end stays, for a newline may follow it."""
    return _collapse_line(line) + ("\r" if line.endswith("\r") else "")


def _remove_overstruck(text: str) -> str:
    if "\b" not in text:
        return text
    return _OVERSTRUCK.sub("", text).replace("\b", "")
