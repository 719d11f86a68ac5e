"""File locks between processes, which the kernel releases when the holder dies, and the holder of a lease."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EIO, ENOSPC
from pathlib import Path

import msgspec

from vmpilot.contract import StoreError, UsageError, VMPilotError

_DISK_ERRORS = {EDQUOT, EIO, ENOSPC}


class Holder(msgspec.Struct, frozen=True):
    """The process that writes to a conversation; `since` is in seconds since the epoch."""

    pid: int
    host: str
    since: float

    @classmethod
    def this_process(cls) -> Holder:
        return cls(os.getpid(), platform.node(), time.time())

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


def holder_to_json(holder: Holder) -> str:
    return json.dumps(msgspec.to_builtins(holder))


def describe_holder(text: str) -> str:
    """The holder that `holder_to_json` wrote, as text."""
    try:
        return str(msgspec.json.decode(text, type=Holder))
    except msgspec.DecodeError:
        return "another process"


class FileLock:
    """A lock on a file, held until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """Acquire it; None if another process or task holds it. Raises `UsageError` if the file is not writable."""
        while True:
            descriptor = _open_file(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if is_same_file(descriptor, path):
                return cls(descriptor)
            os.close(descriptor)  # its holder has removed it: this lock would not exclude others

    def is_held(self) -> bool:
        return True

    def release(self) -> None:
        os.close(self._descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process is in a block with this path. Raises `UsageError` if it is not writable."""
    descriptor = _open_file(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def file_error(path: Path, error: OSError) -> VMPilotError:
    """The error to raise if a file of the log cannot be created or opened."""
    if error.errno in _DISK_ERRORS:
        return StoreError(
            f"Cannot write conversations to {path}: {error.strerror}. Free some space, or check the disk."
        )
    return UsageError(
        f"Cannot write conversations to {path}: {error.strerror}. Make it writable, or set VMPILOT_DATA_DIR."
    )


def _open_file(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise file_error(path, error) from error
