"""Finds the place of an edit: the exact text, else the same lines under another indentation. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from vmpilot.tools.files.document import Document, Span

Reindent: TypeAlias = Callable[[str], str]
"""Gives the indentation in the file for one in the search text."""

_WIDTHS = (4, 2, 8, 3)


MOST = 10_000
"""Places beyond which nobody looks."""


@dataclass(frozen=True, slots=True)
class Found:
    """The places of a search text with what is to stand there. `loose`: the indentation was not the same."""

    spans: tuple[Span, ...]
    loose: bool = False

    @property
    def is_full(self) -> bool:
        """Whether there may be more of them."""
        return len(self.spans) == MOST


def find_places(document: Document, search: str, replace: str, *, overlapping: bool = False) -> Found:
    r"""The places of `search`, which is not blank, up to `MOST`; both texts have `\n` as line ends.

    `overlapping` places count where it must be one only: of `aba` there are two in `ababa`.
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
    """The whole lines, with the last one's end where the search text has one."""
    begin = document.starts[start]
    finish = document.starts[end - 1] + len(document.plain_lines[end - 1])
    has_end = document.plain_lines[end - 1].endswith("\n")
    if has_end and not search.endswith("\n"):
        finish -= 1
    if not has_end and search.endswith("\n"):
        replace = replace.removesuffix("\n")
    return Span(begin, finish, replace)


def _find_reindent(pairs: Sequence[tuple[str, str]]) -> Reindent | None:
    """The one rule that leads from each indentation of the search text to that in the file, None where none does."""
    searched, present = pairs[0]
    candidates: list[Reindent] = []
    if present.endswith(searched):
        candidates.append(_adding(present[: len(present) - len(searched)]))
    if searched.endswith(present):
        candidates.append(_removing(searched[: len(searched) - len(present)]))
    candidates += (rule for width in _WIDTHS for rule in (_to_tabs(width), _to_spaces(width)))
    return next((rule for rule in candidates if all(rule(a) == b for a, b in pairs)), None)


def _adding(prefix: str) -> Reindent:
    return lambda indent: prefix + indent


def _removing(prefix: str) -> Reindent:
    return lambda indent: indent[len(prefix) :]


def _to_tabs(width: int) -> Reindent:
    return lambda indent: indent.replace(" " * width, "\t")


def _to_spaces(width: int) -> Reindent:
    return lambda indent: indent.replace("\t", " " * width)


def _reindented(text: str, reindent: Reindent) -> str:
    return "\n".join(
        reindent(_indent(line)) + line.lstrip(" \t") if line.strip() else line for line in text.split("\n")
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
