"""The unified diff of a document under edit, from the origins of its lines: linear time for any size of file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from vmpilot.tools.files._document import NEW, Document, plain_line
from vmpilot.tools.files._text import show_line

_CONTEXT = 3
_REFINED = 400
"""Lines of a changed piece up to which equal lines are searched within it."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `old` of the former text became lines `new` of the present one."""

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
