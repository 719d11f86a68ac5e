"""Writes changed files, all or none: each beside its place first, then all are put there, or all are put back.

A file that must stay what it is (hard links, an owner that we cannot give, a mount point) is written in place. What
`kill -9` leaves in the middle are whole files, old or new, and one named `.NAME.vmpilot-…` beside them.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmpilot.contract import ToolError
from vmpilot.machine.workspace import open_regular, opened_folder
from vmpilot.tools.files.attributes import OwnerLost, copy_attributes
from vmpilot.tools.files.contents import Content
from vmpilot.tools.files.problems import explain_os_errors
from vmpilot.tools.files.watch import Watch

_NO_NEIGHBOUR = {errno.EACCES, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EROFS, errno.EXDEV}
_NO_NEIGHBOUR |= {errno.ENOENT}  # in /proc
"""Errors that mean: no second name can be made beside this file, but it may be written itself."""
_NO_REPLACING = {errno.EBUSY, errno.EXDEV}


class ChangedMeanwhile(Exception):
    """The file is not what it was when it was read."""


class HalfDone(ToolError):
    """A change failed, and another one that was made could not be undone."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it was read, what is to be in it, and its name for the model."""

    before: Content
    after: bytes
    shown: str


class _Staged(Protocol):
    """A change that is ready to be made; `undo` takes back as much of it as was made."""

    def apply(self) -> None: ...
    def undo(self) -> None: ...


def commit_changes(changes: Sequence[Change], watch: Watch) -> None:
    """Make all changes or none. Raises `ToolError` where none was made, of it `HalfDone` otherwise."""
    with ExitStack() as stack:
        staged = [(change, stack.enter_context(_staged(change))) for change in changes]
        watch.check()  # from here on it is brought to an end
        begun: list[tuple[Change, _Staged]] = []
        try:
            for change, stage in sorted(staged, key=lambda pair: isinstance(pair[1], _Replacement)):
                begun.append((change, stage))
                with _explained(change):
                    stage.apply()
        except ToolError as problem:
            lost = [change.shown for change, stage in reversed(begun) if not _undo(stage)]
            if lost:
                raise HalfDone(f"{problem} It could not be put back: {', '.join(lost)} is changed.") from problem
            raise


def _undo(stage: _Staged) -> bool:
    try:
        stage.undo()
    except OSError:
        return False
    return True


@contextmanager
def _explained(change: Change) -> Iterator[None]:
    try:
        with explain_os_errors(change.before.path, change.shown):
            yield
    except ChangedMeanwhile:
        raise ToolError(f"{change.shown} was changed by somebody else just now. Read it again.") from None


@contextmanager
def _staged(change: Change) -> Iterator[_Staged]:
    """Whatever can fail is done here, as far as it can be done without changing anything."""
    path = change.before.path
    with ExitStack() as stack, _explained(change):
        folder = stack.enter_context(opened_folder(path.parent))
        descriptor, facts = open_regular(folder, path.name, flags=os.O_RDWR)
        stack.callback(os.close, descriptor)
        stage: _Staged = _InPlace(descriptor, change)
        if facts.st_nlink == 1:
            with suppress(OwnerLost):
                stage = stack.enter_context(_replacement(folder, descriptor, change)) or stage
        yield stage


class _InPlace:
    """Writes into the file itself; the blocks that it has are there to take the old content back."""

    def __init__(self, descriptor: int, change: Change) -> None:
        self._descriptor = descriptor
        self._change = change
        self._begun = False

    def apply(self) -> None:
        if not self._change.before.is_still(os.fstat(self._descriptor)):
            raise ChangedMeanwhile
        self._begun = True
        self._write(self._change.after)

    def undo(self) -> None:
        if self._begun:
            self._write(self._change.before.data)

    def _write(self, data: bytes) -> None:
        write_all(self._descriptor, data)
        os.ftruncate(self._descriptor, len(data))
        os.fsync(self._descriptor)


class _Replacement:
    """A whole new file that takes the place of the old one, which keeps a second name until the end."""

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
            raise ChangedMeanwhile
        try:
            os.rename(self._new, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _NO_REPLACING:  # a file that something is mounted on cannot be replaced
                raise
            self._in_place.apply()
            return
        self._replaced = True
        sync_folder(self._folder)

    def undo(self) -> None:
        if self._replaced:
            os.rename(self._old, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            self._in_place.undo()


@contextmanager
def _replacement(folder: int, descriptor: int, change: Change) -> Iterator[_Replacement | None]:
    """Stage the new file and the old one's second name; None where the folder takes neither."""
    new, old = neighbour(change.before.path), neighbour(change.before.path)
    with ExitStack() as stack:
        try:
            with new_file(folder, new, mode=0o600) as written:
                stack.callback(remove, folder, new)
                write_all(written, change.after)
                copy_attributes(descriptor, written)
                os.fsync(written)
            os.link(change.before.path.name, old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            stack.callback(remove, folder, old)
        except OSError as error:
            if error.errno not in _NO_NEIGHBOUR:
                raise
            stack.close()
            yield None
            return
        yield _Replacement(folder, change, new=new, old=old, in_place=_InPlace(descriptor, change))


def write_new(path: Path, data: bytes, watch: Watch) -> list[Path]:
    """Make a file that was not there, whole or not at all; give the folders that had to be made for it.

    Raises OSError, `FileExistsError` where something is there, a link too. The mode is what the umask makes of 0666.
    """
    made: list[Path] = []
    try:
        with opened_folder(path.parent, made=made) as folder:
            _write_new(folder, path, data=data, watch=watch)
            sync_folder(folder)
    except BaseException:
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()
        raise
    return made


def _write_new(folder: int, path: Path, *, data: bytes, watch: Watch) -> None:
    temporary = neighbour(path)
    with ExitStack() as stack:
        with new_file(folder, temporary, mode=0o666) as written:
            stack.callback(remove, folder, temporary)
            write_all(written, data)
            os.fsync(written)
        watch.check()
        try:
            os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_NEIGHBOUR:
                raise
            _write_directly(folder, path.name, data)


def _write_directly(folder: int, name: str, data: bytes) -> None:
    """For file systems without hard links."""
    with ExitStack() as undo, new_file(folder, name, mode=0o666) as written:
        undo.callback(remove, folder, name)
        write_all(written, data)
        os.fsync(written)
        undo.pop_all()


@contextmanager
def new_file(folder: int, name: str, *, mode: int) -> Iterator[int]:
    """Make the file, which is not there yet, and give its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write from the file's beginning."""
    view, position = memoryview(data), 0
    while position < len(data):
        position += os.pwrite(descriptor, view[position : position + (1 << 20)], position)


def neighbour(path: Path) -> str:
    """A name for a temporary file beside `path`; of a long name the end is left out."""
    beginning = os.fsdecode(os.fsencode(path.name)[:200])
    return f".{beginning}.vmpilot-{secrets.token_hex(6)}"


def remove(folder: int, name: str) -> None:
    """Remove a temporary file, if it is still there."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def sync_folder(folder: int) -> None:
    """Bring the names in the folder to the disk, where we may open it."""
    with suppress(OSError):
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
