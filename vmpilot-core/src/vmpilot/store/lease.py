"""Locks between processes, on files that the system frees when the holder dies; one writer per conversation is one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmpilot.contract import UsageError


class Lease:
    """The right to write to one conversation, held until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, *, conversation_id: str) -> Lease:
        """Raises `UsageError` naming the holder where another process or task holds it."""
        descriptor = _open_file(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise UsageError(
                f"conversation {conversation_id} is in use by process {holder}: wait for it, or begin a new one"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until nobody else is in a block with this path. Raises `UsageError` where it cannot be written."""
    descriptor = _open_file(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_file(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write conversations to {path}: {error.strerror}; make it writable, or set VMPILOT_DATA_DIR"
        ) from error
