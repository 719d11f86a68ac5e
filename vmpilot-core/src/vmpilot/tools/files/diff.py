"""The unified diff of a document under edit, from what it knows of its lines: linear, however large the file is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from vmpilot.tools.files.document import NEW, Document, plain_line
from vmpilot.tools.files.text import show_line

_CONTEXT = 3
_REFINED = 400
"""Lines of one changed piece up to which equal lines within it are looked for."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `old` of the former text gave way to lines `new` of the present one."""

    old: range
    new: range


def unified_diff(document: Document, name: str) -> str:
    """The diff in the unified format, headers included; empty where nothing changed."""
    changes = [part for change in _find_changes(document) for part in _refine(document, change)]
    if not changes:
        return ""
    lines = [f"--- {name}", f"+++ {name}"]
    for hunk in _group(changes):
        lines += _hunk(document, hunk)
    return "\n".join(lines)


def count_changes(document: Document) -> tuple[int, int]:
    """How many lines were added, and how many removed."""
    changes = [part for change in _find_changes(document) for part in _refine(document, change)]
    return sum(len(change.new) for change in changes), sum(len(change.old) for change in changes)


def _find_changes(document: Document) -> Iterator[_Change]:
    """The gaps between lines that stayed: those keep their order, so one walk finds them."""
    old = new = 0
    for index, origin in enumerate(document.origins):
        if origin == NEW:
            continue
        if origin > old or index > new:
            yield _Change(range(old, origin), range(new, index))
        old, new = origin + 1, index + 1
    if old < len(document.before) or new < len(document.lines):
        yield _Change(range(old, len(document.before)), range(new, len(document.lines)))


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


def _group(changes: Sequence[_Change]) -> list[list[_Change]]:
    """Changes whose context would overlap stand in one hunk."""
    groups = [[changes[0]]]
    for change in changes[1:]:
        if change.old.start - groups[-1][-1].old.stop <= 2 * _CONTEXT:
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups


def _hunk(document: Document, changes: Sequence[_Change]) -> Iterator[str]:
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
