"""Writes changed files, all or none: new content is first written next to each file, then all are replaced or restored.

A file that must keep its identity (hard links, an owner that cannot be set, a mount point) is written in place. After a
`kill -9`, all files are complete, old or new, and a file named `.NAME.vmpilot-…` may be next to them.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmpilot.contract import ToolError
from vmpilot.machine.workspace import open_regular, opened_folder
from vmpilot.tools.files._content import Content
from vmpilot.tools.files._errors import explain_os_errors
from vmpilot.tools.files._threads import Watch

_NO_TEMPORARY = {errno.EACCES, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EROFS, errno.EXDEV}
_NO_TEMPORARY |= {errno.ENOENT}  # in /proc
"""Errors that rule out a second name next to this file, although the file itself may be writable."""
_NO_REPLACING = {errno.EBUSY, errno.EXDEV}


class _ChangedMeanwhile(Exception):
    """The file has changed since it was read."""


class _OwnerLost(Exception):
    """The new file cannot get the old one's owner."""


class PartialChange(ToolError):
    """A change failed, and an earlier change could not be undone."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it was read, its new content, and its name for the model."""

    before: Content
    after: bytes
    shown: str


class _Staged(Protocol):
    """A change that is ready to apply; `undo` reverts the applied part."""

    def apply(self) -> None: ...
    def undo(self) -> None: ...


def commit_changes(changes: Sequence[Change], watch: Watch) -> None:
    """Make all changes or none. Raises `ToolError` if no change remains, `PartialChange` otherwise."""
    with ExitStack() as stack:
        staged = [(change, stack.enter_context(_staged(change))) for change in changes]
        watch.check()  # from here on it cannot be canceled
        begun: list[tuple[Change, _Staged]] = []
        try:
            for change, stage in sorted(staged, key=lambda pair: isinstance(pair[1], _Replacement)):
                begun.append((change, stage))
                with _explained(change):
                    stage.apply()
        except ToolError as error:
            lost = []
            for change, stage in reversed(begun):
                try:
                    stage.undo()
                except OSError:
                    lost.append(change.shown)
            if lost:
                raise PartialChange(f"{error} Could not be undone: {', '.join(lost)} changed.") from error
            raise


@contextmanager
def _explained(change: Change) -> Iterator[None]:
    try:
        with explain_os_errors(change.before.path, change.shown):
            yield
    except _ChangedMeanwhile:
        raise ToolError(f"{change.shown} was changed by another program just now. Read it again.") from None


@contextmanager
def _staged(change: Change) -> Iterator[_Staged]:
    """Does everything that can fail, without changing anything yet."""
    path = change.before.path
    with ExitStack() as stack, _explained(change):
        folder = stack.enter_context(opened_folder(path.parent))
        descriptor, facts = open_regular(folder, path.name, flags=os.O_RDWR)
        stack.callback(os.close, descriptor)
        stage: _Staged = _InPlace(descriptor, change)
        if facts.st_nlink == 1:
            with suppress(_OwnerLost):
                stage = stack.enter_context(_replacement(folder, descriptor, change)) or stage
        yield stage


class _InPlace:
    """Writes into the file itself, whose blocks have room for the old content again."""

    def __init__(self, descriptor: int, change: Change) -> None:
        self._descriptor = descriptor
        self._change = change
        self._begun = False

    def apply(self) -> None:
        if not self._change.before.is_still(os.fstat(self._descriptor)):
            raise _ChangedMeanwhile
        self._begun = True
        self._write(self._change.after)

    def undo(self) -> None:
        if self._begun:
            self._write(self._change.before.data)

    def _write(self, data: bytes) -> None:
        _write_all(self._descriptor, data)
        os.ftruncate(self._descriptor, len(data))
        os.fsync(self._descriptor)


class _Replacement:
    """Renames a new file over the old one, which keeps a second name until all changes are made."""

    def __init__(self, folder: int, change: Change, *, new: str, old: str, in_place: _InPlace) -> None:
        self._folder = folder
        self._change = change
        self._name = change.before.path.name
        self._new = new
        self._old = old
        self._in_place = in_place
        self._replaced = False

    def apply(self) -> None:
        facts = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        kept = os.stat(self._old, dir_fd=self._folder, follow_symlinks=False)
        if facts.st_ino != kept.st_ino or not self._change.before.is_still(facts):
            raise _ChangedMeanwhile
        try:
            os.rename(self._new, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _NO_REPLACING:  # a file that something is mounted on cannot be replaced
                raise
            self._in_place.apply()
            return
        self._replaced = True
        _sync_folder(self._folder)

    def undo(self) -> None:
        if self._replaced:
            os.rename(self._old, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            self._in_place.undo()


@contextmanager
def _replacement(folder: int, descriptor: int, change: Change) -> Iterator[_Replacement | None]:
    """Stage the new file and the old one's second name; None if the folder allows neither."""
    new, old = _temporary_name(change.before.path), _temporary_name(change.before.path)
    with ExitStack() as stack:
        try:
            with _new_file(folder, new, mode=0o600) as written:
                stack.callback(_remove, folder, new)
                _write_all(written, change.after)
                _copy_attributes(descriptor, written)
                os.fsync(written)
            os.link(change.before.path.name, old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            stack.callback(_remove, folder, old)
        except OSError as error:
            if error.errno not in _NO_TEMPORARY:
                raise
            stack.close()
            yield None
            return
        yield _Replacement(folder, change, new=new, old=old, in_place=_InPlace(descriptor, change))


def write_new(path: Path, data: bytes, watch: Watch) -> list[Path]:
    """Create a file, completely or not at all; return the folders that were created for it.

    Raises OSError, `FileExistsError` if anything has the name, even a link. The mode is 0666 minus the umask.
    """
    made: list[Path] = []
    try:
        with opened_folder(path.parent, made=made) as folder:
            _write_new(folder, path, data=data, watch=watch)
            _sync_folder(folder)
    except BaseException:
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()
        raise
    return made


def _write_new(folder: int, path: Path, *, data: bytes, watch: Watch) -> None:
    temporary = _temporary_name(path)
    with ExitStack() as stack:
        with _new_file(folder, temporary, mode=0o666) as written:
            stack.callback(_remove, folder, temporary)
            _write_all(written, data)
            os.fsync(written)
        watch.check()
        try:
            os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_TEMPORARY:
                raise
            with ExitStack() as undo, _new_file(folder, path.name, mode=0o666) as written:  # there are no hard links
                undo.callback(_remove, folder, path.name)
                _write_all(written, data)
                os.fsync(written)
                undo.pop_all()


def _copy_attributes(source: int, target: int) -> None:
    """Copy owner, extended attributes (including access lists) as far as possible, and mode to the new file.

    Raises `_OwnerLost`, OSError.
    """
    facts = os.fstat(source)
    mine = os.fstat(target)
    if (facts.st_uid, facts.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(target, facts.st_uid, facts.st_gid)
        except PermissionError as error:
            raise _OwnerLost from error
    with suppress(OSError):
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(facts.st_mode))  # last: a change of owner clears bits


@contextmanager
def _new_file(folder: int, name: str, *, mode: int) -> Iterator[int]:
    """Create the file and return its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view, position = memoryview(data), 0
    while position < len(data):
        position += os.pwrite(descriptor, view[position : position + (1 << 20)], position)


def _temporary_name(path: Path) -> str:
    """The name of a temporary file next to `path`; a long name is cut."""
    beginning = os.fsdecode(os.fsencode(path.name)[:200])
    return f".{beginning}.vmpilot-{secrets.token_hex(6)}"


def _remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _sync_folder(folder: int) -> None:
    """Flush the folder's names to the disk, if it can be opened."""
    with suppress(OSError):
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
