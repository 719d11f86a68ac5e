"""Opens a resolved path by directory descriptors, component by component: a link on the way is refused, not followed.

So the file that was approved is opened, even if a folder was replaced by a link since. (`openat2` does it in one call,
but Python does not have it, and some sandboxes forbid it.)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LinkInTheWay(OSError):
    """A component of the path is a link: it was put there after the path had been resolved."""


class NotRegular(OSError):
    """It exists, but is not a regular file; `mode` says what it is."""

    def __init__(self, mode: int) -> None:
        super().__init__(errno.EINVAL, "not a regular file")
        self.mode = mode


@contextmanager
def opened_folder(path: Path, *, made: list[Path] | None = None) -> Iterator[int]:
    """A descriptor (O_PATH) of the folder at an absolute path in which no component is a link.

    With `made`, missing folders are created and noted there. Raises OSError, including `LinkInTheWay`.
    """
    descriptor = os.open("/", _FOLDER)
    try:
        for depth, name in enumerate(path.parts[1:], 2):
            inner = _enter(descriptor, name, made=made, path=Path(*path.parts[:depth]))
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular(folder: int, name: str, *, flags: int = os.O_RDONLY) -> tuple[int, os.stat_result]:
    """Open the regular file `name` in a folder's descriptor without blocking; its descriptor and its status.

    Anything else is not opened, because opening a device has effects. Raises OSError: `NotRegular`, `LinkInTheWay`.
    """
    name = name or "."  # the name of "/"
    _refuse_special(os.stat(name, dir_fd=folder, follow_symlinks=False))
    try:
        descriptor = os.open(name, flags | _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LinkInTheWay(errno.ELOOP, "the path contains a link") from error
        raise
    try:
        facts = os.fstat(descriptor)
        _refuse_special(facts)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, facts


def open_below(folder: int, relative: str, *, flags: int = os.O_RDONLY) -> tuple[int, os.stat_result]:
    """`open_regular` for a relative path below a folder's descriptor, without links and without `..`."""
    *folders, name = relative.split("/")
    descriptor = os.open(".", _FOLDER, dir_fd=folder)
    try:
        for part in folders:
            inner = _enter(descriptor, part)
            os.close(descriptor)
            descriptor = inner
        return open_regular(descriptor, name, flags=flags)
    finally:
        os.close(descriptor)


def _enter(folder: int, name: str, *, made: list[Path] | None = None, path: Path | None = None) -> int:
    if name in {"", ".", ".."}:
        raise LinkInTheWay(errno.ELOOP, "the path is not resolved", name)
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if made is None or path is None:
            raise
    except NotADirectoryError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise LinkInTheWay(errno.ELOOP, "the path contains a link", name) from error
        raise
    os.mkdir(name, dir_fd=folder)
    made.append(path)
    return os.open(name, _FOLDER, dir_fd=folder)


def _refuse_special(facts: os.stat_result) -> None:
    if stat.S_ISLNK(facts.st_mode):
        raise LinkInTheWay(errno.ELOOP, "the path contains a link")
    if not stat.S_ISREG(facts.st_mode):
        raise NotRegular(facts.st_mode)
