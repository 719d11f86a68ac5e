"""What a conversation has seen of files: an edit of one that others changed since is refused. It reads no file."""

from __future__ import annotations

import hashlib
from pathlib import Path


class FileMemory:
    """The files that were read or written in one conversation, as they were then; one for all its turns.

    Contents count, not times: a file that was touched, or put back, has not changed.
    """

    def __init__(self) -> None:
        self._digests: dict[Path, bytes | None] = {}

    def note(self, path: Path, data: bytes | None) -> None:
        """The file was seen with this content; None where it was too large to be seen whole."""
        self._digests[path] = None if data is None else digest_of(data)

    def is_stale(self, path: Path, data: bytes) -> bool:
        """Whether the file was seen in this conversation, and not with this content."""
        return path in self._digests and self._digests[path] != digest_of(data)


def digest_of(data: bytes) -> bytes:
    """A file's content in 32 bytes."""
    return hashlib.sha256(data).digest()
