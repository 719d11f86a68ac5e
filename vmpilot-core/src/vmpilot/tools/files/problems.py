"""What goes wrong with files, in words for the model: what happened, to which file, what to do next."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.machine.workspace import LinkInTheWay, NotRegular, describe_look_alike, find_look_alikes, show_name
from vmpilot.tools.files.kinds import describe_special

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than a file may be here",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "it, or a part of its path, is no folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its links go round in a circle",
    errno.EAGAIN: "nothing is there to read now; it is a file that one waits on",
    errno.EIO: "the disk reports an error",
    errno.ETXTBSY: "it is a program that runs just now",
}
_LISTED = 2_000


@contextmanager
def explain_os_errors(path: Path, shown: str) -> Iterator[None]:
    """Raises `ToolError` for an OSError that comes of dealing with `path`, which the model knows as `shown`."""
    try:
        yield
    except OSError as error:
        raise ToolError(_explain(error, path, shown)) from error


def _explain(error: OSError, path: Path, shown: str) -> str:
    match error:
        case NotRegular():
            return _explain_special(error.mode, path, shown)
        case LinkInTheWay() if _is_circle(path):
            return f"{shown}: {_REASONS[errno.ELOOP]}."
        case LinkInTheWay():
            return f"{shown} was swapped for a link in the meantime. Look at what it is now, then call again."
        case FileNotFoundError():
            return f"There is no {shown}.{_resembling(path)}"
        case PermissionError():
            return (
                f"{shown}: permission denied{_owner(path)}. If it must be done, do it with the shell as another user."
            )
        case _:
            return f"{shown}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}."


def _is_circle(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _explain_special(mode: int, path: Path, shown: str) -> str:
    if not stat.S_ISDIR(mode):
        return f"{shown} is {describe_special(mode)}; only regular files can be dealt with. Use the shell."
    return f"{shown} is a folder{_entries(path)}. Name a file in it, or use find_files."


def _names(folder: Path) -> list[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        found = islice(entries, _LISTED)
        return sorted(show_name(entry.name) + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in found)
    return []


def _entries(folder: Path) -> str:
    names = _names(folder)
    more = ", …" if len(names) > 20 else ""
    return f" with {', '.join(names[:20])}{more}" if names else ""


def _resembling(path: Path) -> str:
    """The names beside it that are most like it: the model may have mistyped, or forgotten the ending."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        path, folder = folder, folder.parent
    if alike := find_look_alikes(folder, path.name):
        described = "; ".join(
            f"{show_name(name)} (it has {describe_look_alike(path.name, Path(name))})" for name in alike
        )
        return f" Names that look the same: {described}."
    names = get_close_matches(path.name, _names(folder), n=3, cutoff=0.6)
    return f" Close to it: {', '.join(names)}." if names else " find_files finds files by name."


def _owner(path: Path) -> str:
    try:
        facts = path.lstat()
        owner = pwd.getpwuid(facts.st_uid).pw_name
    except (OSError, KeyError):
        return ""
    return f" (it belongs to {owner}, mode {stat.S_IMODE(facts.st_mode):04o})"
