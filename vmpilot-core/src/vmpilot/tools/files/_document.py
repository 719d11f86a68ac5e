"""A text being edited, as lines that know their origin, so line endings are kept and its diff takes linear time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

from vmpilot.tools.files._text import show_line, split_lines

NEW = -1
"""The origin of a new line."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a document's `plain` text, and its replacement."""

    start: int
    end: int
    text: str


class Document:
    r"""A file's text. `plain` is what edits see: each line ends in `\n`, even if it ends in `\r\n` in the file."""

    def __init__(self, text: str) -> None:
        self.before = tuple(split_lines(text))
        self.lines = list(self.before)
        self.origins = list(range(len(self.lines)))
        self._read()

    @property
    def text(self) -> str:
        """The complete text as written to the file."""
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


_CONTEXT = 3
_REFINED = 400
"""Maximum lines of a changed section in which equal lines are searched."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `old` of the original text became lines `new` of the current text."""

    old: range
    new: range


def unified_diff(document: Document, name: str) -> str:
    """The diff with its headers; empty if nothing changed."""
    hunks: list[list[_Change]] = []
    for change in _find_changes(document):
        if hunks and change.old.start - hunks[-1][-1].old.stop <= 2 * _CONTEXT:  # their context would overlap
            hunks[-1].append(change)
        else:
            hunks.append([change])
    lines = [f"--- {name}", f"+++ {name}"] if hunks else []
    for hunk in hunks:
        lines += _describe(document, hunk)
    return "\n".join(lines)


def count_changes(document: Document) -> tuple[int, int]:
    """The numbers of lines that were added and removed."""
    changes = list(_find_changes(document))
    return sum(len(change.new) for change in changes), sum(len(change.old) for change in changes)


def _find_changes(document: Document) -> Iterator[_Change]:
    """The gaps between unchanged lines, which keep their order, so one walk finds them."""
    old = new = 0
    for index, origin in enumerate(document.origins):
        if origin == NEW:
            continue
        if origin > old or index > new:
            yield from _refine(document, _Change(range(old, origin), range(new, index)))
        old, new = origin + 1, index + 1
    if old < len(document.before) or new < len(document.lines):
        yield from _refine(document, _Change(range(old, len(document.before)), range(new, len(document.lines))))


def _refine(document: Document, change: _Change) -> Iterator[_Change]:
    if not change.old or not change.new or max(len(change.old), len(change.new)) > _REFINED:
        yield change
        return
    before = document.before[change.old.start : change.old.stop]
    after = document.lines[change.new.start : change.new.stop]
    for tag, old, old_end, new, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            yield _Change(
                range(change.old.start + old, change.old.start + old_end),
                range(change.new.start + new, change.new.start + new_end),
            )


def _describe(document: Document, changes: Sequence[_Change]) -> Iterator[str]:
    before = document.before
    start = max(0, changes[0].old.start - _CONTEXT)
    end = min(len(before), changes[-1].old.stop + _CONTEXT)
    new_start = changes[0].new.start - (changes[0].old.start - start)
    new_end = changes[-1].new.stop + (end - changes[-1].old.stop)
    yield f"@@ -{_bounds(start, end)} +{_bounds(new_start, new_end)} @@"
    position = start
    for change in changes:
        yield from _marked(" ", before[position : change.old.start])
        yield from _marked("-", before[change.old.start : change.old.stop])
        yield from _marked("+", document.lines[change.new.start : change.new.stop])
        position = change.old.stop
    yield from _marked(" ", before[position:end])


def _bounds(start: int, end: int) -> str:
    count = end - start
    return f"{start + (count > 0)}" if count == 1 else f"{start + (count > 0)},{count}"


def _marked(mark: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield mark + show_line(plain_line(line).removesuffix("\n"))
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"
