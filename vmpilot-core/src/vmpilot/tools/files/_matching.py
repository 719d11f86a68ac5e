"""Finds the matches of an edit: the exact text, or else the same lines with different indentation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias

from vmpilot.tools.files._document import Document, Span

Reindent: TypeAlias = Callable[[str], str]
"""Maps an indentation of the search text to that in the file."""

_WIDTHS = (4, 2, 8, 3)

MOST = 10_000
"""Number of matches after which the search stops."""


@dataclass(frozen=True, slots=True)
class Found:
    """The matches of a search text with their replacements. `loose`: the indentation differed."""

    spans: tuple[Span, ...]
    loose: bool = False

    @property
    def is_full(self) -> bool:
        """Whether there may be more."""
        return len(self.spans) == MOST


def find_places(document: Document, search: str, replace: str, *, overlapping: bool = False) -> Found:
    r"""The matches of `search`, which is not blank, up to `MOST`; both texts have `\n` line endings.

    Count `overlapping` matches to find out whether a text is unique: `ababa` has two of `aba`.
    """
    step = 1 if overlapping else len(search)
    spans = tuple(islice(_find_exact(document.plain, search, replace, step=step), MOST))
    if spans:
        return Found(spans)
    return Found(tuple(islice(_find_loose(document, search, replace), MOST)), loose=True)


def _find_exact(plain: str, search: str, replace: str, *, step: int) -> Iterator[Span]:
    start = plain.find(search)
    while start >= 0:
        yield Span(start, start + len(search), replace)
        start = plain.find(search, start + step)


def _find_loose(document: Document, search: str, replace: str) -> Iterator[Span]:
    wanted = search.removesuffix("\n").split("\n")
    stripped = [line.strip() for line in wanted]
    first = next(index for index, line in enumerate(stripped) if line)
    lines = document.plain_lines
    free = 0
    for index, line in enumerate(lines):
        start = index - first
        if line.strip() != stripped[first] or start < free or start + len(wanted) > len(lines):
            continue
        present = lines[start : start + len(wanted)]
        if [line.strip() for line in present] != stripped:
            continue
        reindent = _find_reindent([(_indent(a), _indent(b)) for a, b in zip(wanted, present, strict=True) if a.strip()])
        if reindent is not None:
            free = start + len(wanted)
            yield _loose_span(document, start, free, search, _reindented(replace, reindent))


def _loose_span(document: Document, start: int, end: int, search: str, replace: str) -> Span:
    """Complete lines, with the last line ending if the search text has one."""
    begin = document.starts[start]
    finish = document.starts[end - 1] + len(document.plain_lines[end - 1])
    has_end = document.plain_lines[end - 1].endswith("\n")
    if has_end and not search.endswith("\n"):
        finish -= 1
    if not has_end and search.endswith("\n"):
        replace = replace.removesuffix("\n")
    return Span(begin, finish, replace)


def _find_reindent(pairs: Sequence[tuple[str, str]]) -> Reindent | None:
    """The rule that maps each indentation of the search text to that in the file, if there is one."""
    searched, present = pairs[0]
    candidates: list[Reindent] = []
    if present.endswith(searched):
        candidates.append(partial(operator.add, present[: len(present) - len(searched)]))
    if searched.endswith(present):
        candidates.append(operator.itemgetter(slice(len(searched) - len(present), None)))
    for width in _WIDTHS:
        candidates.append(operator.methodcaller("replace", " " * width, "\t"))
        candidates.append(operator.methodcaller("replace", "\t", " " * width))
    return next((rule for rule in candidates if all(rule(a) == b for a, b in pairs)), None)


def _reindented(text: str, reindent: Reindent) -> str:
    return "\n".join(
        reindent(_indent(line)) + line.lstrip(" \t") if line.strip() else line for line in text.split("\n")
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
