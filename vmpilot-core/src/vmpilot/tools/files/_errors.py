"""Explains file errors to the model: what happened to which file, and what to do next."""

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
from vmpilot.machine.secrets.masking import MASK
from vmpilot.machine.workspace import LinkInTheWay, NotRegular, describe_look_alike, find_look_alikes, show_name
from vmpilot.tools.files._kinds import describe_special

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is exceeded",
    errno.EFBIG: "it would exceed the maximum file size",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "it or a part of its path is not a folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its links form a loop",
    errno.EAGAIN: "it has nothing to read now",
    errno.EIO: "the disk reports an error",
    errno.ETXTBSY: "it is a program that is running",
}
_LISTED = 2_000


@contextmanager
def explain_os_errors(path: Path, shown: str) -> Iterator[None]:
    """Turn an OSError about `path`, which the model knows as `shown`, into a `ToolError`."""
    try:
        yield
    except OSError as error:
        raise ToolError(_explain(error, path, shown)) from error


def reject_masks(text: str, *, present: str, shown: str) -> None:
    """Raise `ToolError` if `text` has more masks than `present`, which it replaces: a mask is never written back."""
    if text.count(MASK) > present.count(MASK):
        raise ToolError(
            f"{MASK} stands for a secret that you cannot see and is never written back, so {shown} was not changed. "
            f"Edit only the lines around it, or ask the user to enter the secret."
        )


def _explain(error: OSError, path: Path, shown: str) -> str:
    match error:
        case NotRegular() if stat.S_ISDIR(error.mode):
            names = _names(path)
            more = ", …" if len(names) > 20 else ""
            listed = f" with {', '.join(names[:20])}{more}" if names else ""
            return f"{shown} is a folder{listed}. Name a file in it, or use find_files."
        case NotRegular():
            return f"{shown} is {describe_special(error.mode)}, and only regular files can be used here. Use the shell."
        case LinkInTheWay() if not _is_loop(path):
            return f"{shown} was replaced by a link in the meantime. Look at it again before you repeat the call."
        case FileNotFoundError():
            return f"{shown} does not exist.{_similar_names(path)}"
        case PermissionError():
            return f"{shown}: permission denied{_owner(path)}. If needed, use the shell as another user."
        case _:
            number = errno.ELOOP if isinstance(error, LinkInTheWay) else error.errno or 0
            return f"{shown}: {_REASONS.get(number, error.strerror or str(error))}."


def _is_loop(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _names(folder: Path) -> list[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        found = islice(entries, _LISTED)
        return sorted(show_name(entry.name) + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in found)
    return []


def _similar_names(path: Path) -> str:
    """The most similar names in its folder: the model may have mistyped it, or forgotten the extension."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        path, folder = folder, folder.parent
    if alike := find_look_alikes(folder, path.name):
        described = "; ".join(
            f"{show_name(name)} (it has {describe_look_alike(path.name, Path(name))})" for name in alike
        )
        return f" Names that look the same: {described}."
    names = get_close_matches(path.name, _names(folder), n=3, cutoff=0.6)
    return f" Similar names: {', '.join(names)}." if names else " find_files finds files by name."


def _owner(path: Path) -> str:
    try:
        facts = path.lstat()
        owner = pwd.getpwuid(facts.st_uid).pw_name
    except (OSError, KeyError):
        return ""
    return f" (owner {owner}, mode {stat.S_IMODE(facts.st_mode):04o})"
