"""Reads complete files of bounded size, and remembers the file contents that a conversation has seen."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from vmpilot.machine.workspace import open_regular, opened_folder

_PIECE = 1 << 20


class TooLarge(Exception):
    """The file has more bytes than the limit."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, and its metadata when they were read."""

    path: Path
    data: bytes
    facts: os.stat_result

    def is_still(self, facts: os.stat_result) -> bool:
        """Whether this metadata belongs to the same, unchanged file."""
        now, before = ((each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns) for each in (facts, self.facts))
        return now == before


class FileMemory:
    """Digests of the files that a conversation has read or written: edits of files changed since are rejected.

    Contents count, not times: a file that was only touched, or restored, has not changed.
    """

    def __init__(self) -> None:
        self._digests: dict[Path, bytes | None] = {}

    def note(self, path: Path, data: bytes | None) -> None:
        """Remember this content as seen; None if the file was too large to read completely."""
        self._digests[path] = None if data is None else digest_of(data)

    def is_stale(self, path: Path, data: bytes) -> bool:
        """Whether the file was seen in this conversation with different content."""
        return path in self._digests and self._digests[path] != digest_of(data)


def digest_of(data: bytes) -> bytes:
    """The SHA-256 digest of a file's content."""
    return hashlib.sha256(data).digest()


def read_content(path: Path, *, limit: int) -> Content:
    """The complete file. Raises OSError, and `TooLarge` beyond `limit` bytes, whatever size the file reports."""
    with opened_folder(path.parent) as folder:
        descriptor, facts = open_regular(folder, path.name)
    try:
        if facts.st_size > limit:
            raise TooLarge
        return Content(path, read_up_to(descriptor, limit), facts)
    finally:
        os.close(descriptor)


def read_up_to(descriptor: int, limit: int) -> bytes:
    """All bytes to the end. Raises `TooLarge` if there are more than `limit`, OSError."""
    data = bytearray()
    while piece := os.read(descriptor, min(_PIECE, limit + 1 - len(data))):
        data += piece
        if len(data) > limit:
            raise TooLarge
    return bytes(data)
