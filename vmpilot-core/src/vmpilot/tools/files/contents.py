"""Reads whole files of bounded size, at exactly the path that was decided upon."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vmpilot.machine.workspace import open_regular, opened_folder

_PIECE = 1 << 20


class TooLarge(Exception):
    """The file has more bytes than are wanted at once."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, and what the file was when they were read."""

    path: Path
    data: bytes
    facts: os.stat_result

    def is_still(self, facts: os.stat_result) -> bool:
        """Whether these facts are of the same file, unchanged."""
        return _identity(facts) == _identity(self.facts)


def read_content(path: Path, *, limit: int) -> Content:
    """The whole file. Raises OSError, and `TooLarge` beyond `limit` bytes, whatever size the file says it has."""
    with opened_folder(path.parent) as folder:
        descriptor, facts = open_regular(folder, path.name)
    try:
        if facts.st_size > limit:
            raise TooLarge
        return Content(path, read_up_to(descriptor, limit), facts)
    finally:
        os.close(descriptor)


def read_up_to(descriptor: int, limit: int) -> bytes:
    """All bytes to the end. Raises `TooLarge` where there are more than `limit`, OSError."""
    data = bytearray()
    while piece := os.read(descriptor, min(_PIECE, limit + 1 - len(data))):
        data += piece
        if len(data) > limit:
            raise TooLarge
    return bytes(data)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
