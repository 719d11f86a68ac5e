"""A text under edit, as lines that know their origin, so line endings are kept and a diff needs no search."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from vmpilot.tools.files._text import split_lines

NEW = -1
"""The origin of a new line."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a document's `plain` text, and its replacement."""

    start: int
    end: int
    text: str


class Document:
    r"""A file's text. `plain` is what edits see: each line ends in `\n`, also if it ends in `\r\n` in the file."""

    def __init__(self, text: str) -> None:
        self.before = tuple(split_lines(text))
        self.lines = list(self.before)
        self.origins = list(range(len(self.lines)))
        self._read()

    @property
    def text(self) -> str:
        """The whole text as it goes into the file."""
        return "".join(self.lines)

    def line_at(self, offset: int) -> int:
        """The index of the line that contains `offset` of the plain text."""
        return max(0, bisect_right(self.starts, offset) - 1)

    def replace(self, spans: Iterable[Span]) -> None:
        """Replace the spans, which do not overlap. Lines whose plain text stays the same keep their endings."""
        for span in sorted(spans, key=lambda span: -span.start):  # from the end, so that earlier offsets stay valid
            first = self.line_at(span.start)
            last = self.line_at(span.end) + 1  # includes the line after a line ending, which may be joined
            old = self.lines[first:last]
            plain, offset = "".join(map(plain_line, old)), self.starts[first]
            new = split_lines(plain[: span.start - offset] + span.text + plain[span.end - offset :])
            self._put(first, old, new)
        self._read()

    def _read(self) -> None:
        self.plain_lines = [plain_line(line) for line in self.lines]
        self.plain = "".join(self.plain_lines)
        self.starts = list(accumulate(map(len, self.plain_lines), initial=0))[:-1] or [0]

    def _put(self, first: int, old: list[str], new: list[str]) -> None:
        head = _count_equal(zip(old, new, strict=False))
        rest = min(len(old), len(new)) - head
        tail = _count_equal(zip(old[len(old) - rest :][::-1], new[len(new) - rest :][::-1], strict=True)) if rest else 0
        replaced, put = old[head : len(old) - tail], new[head : len(new) - tail]
        start = first + head
        ends = [end for line in replaced if (end := _line_end(line))]
        spare = ends[-1] if ends else self._end_near(start)
        ended = [_with_end(line, ends[i] if i < len(ends) else spare) for i, line in enumerate(put)]
        self.lines[start : start + len(replaced)] = ended
        self.origins[start : start + len(replaced)] = [NEW] * len(ended)

    def _end_near(self, index: int) -> str:
        for line in (*self.lines[max(0, index - 1) : index], *self.lines[index : index + 2], *self.lines[:1]):
            if end := _line_end(line):
                return end
        return "\n"


def plain_line(line: str) -> str:
    r"""The line with `\n` for its line ending."""
    return f"{line[:-2]}\n" if line.endswith("\r\n") else line


def describe_line_endings(lines: Sequence[str]) -> str:
    r"""`CRLF line endings`, `mixed line endings (…)`, or empty for `\n`."""
    crlf = sum(line.endswith("\r\n") for line in lines)
    ended = sum(line.endswith("\n") for line in lines)
    if not crlf:
        return ""
    return "CRLF line endings" if crlf == ended else f"mixed line endings ({crlf} CRLF, {ended - crlf} LF)"


def _line_end(line: str) -> str:
    return "\r\n" if line.endswith("\r\n") else "\n" if line.endswith("\n") else ""


def _with_end(line: str, end: str) -> str:
    return line[:-1] + end if line.endswith("\n") else line


def _count_equal(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for old, new in pairs:
        if plain_line(old) != new:
            break
        count += 1
    return count
