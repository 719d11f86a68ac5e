"""Reads what a search engine tells: places in files, and files that it could not read. It runs none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST_RECORD = 65_536
_WHERE = re.compile(rb"(\d+):(\d+):(\d+)(?:[:\n]|\Z)")
_WARNING = re.compile(rb"\A[^\0]*: WARNING: stopped searching binary file after match \([^\0]*? around offset \d+\)\n")
_RIPGREP_ERROR = re.compile(
    r"^(?:rg: )?(?:\./)?(.*?): (?:IO error for operation on .*: )?[^:]* \(os error \d+\)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Place:
    """A matching line: its number and the match's column in bytes, from 1, and where the line begins in bytes."""

    path: str
    line: int
    column: int
    offset: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read."""

    path: str


class PlaceReader:
    """Takes an engine's standard output in pieces; the formats are told in `matcher`, and ripgrep's is like it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Place | Unreadable]:
        """The places that are complete by now. The line's text, which ripgrep may add, is left out."""
        data = self._rest + piece
        position = 0
        while (middle := data.find(b"\0", position)) >= 0 and (end := data.find(b"\n", middle)) >= 0:
            path, where = _WARNING.sub(b"", data[position:middle]), data[middle + 1 : end]
            position = end + 1
            name = os.fsdecode(path.removeprefix(b"./"))
            if where == b"!":
                yield Unreadable(name)
            elif match := _WHERE.match(where):
                yield Place(name, *map(int, match.groups()))
        self._rest = data[position:][:_LONGEST_RECORD]


def read_complaints(text: str) -> list[str]:
    """The files that ripgrep says it could not read."""
    return _RIPGREP_ERROR.findall(text)
