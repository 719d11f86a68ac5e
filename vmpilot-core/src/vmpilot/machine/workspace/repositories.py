"""Recognizes git repositories without a `.git`, for the permission policy and the sandbox.

Git recognizes a repository by its files (gitrepository-layout(5), is_git_directory in git's setup.c), even inside a
checkout. Whoever can write there chooses programs that run at the next `git status` inside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_HEAD = "head"
_PARTS = frozenset({"objects", "refs"})
_ELSEWHERE = "commondir"
"""A file that names the folder of objects, refs and config, as in the folders of `git worktree`."""
_NAMES = ("HEAD", "objects", "refs", _ELSEWHERE)


def is_bare_repository(names: Iterable[str]) -> bool:
    """Whether a folder with these names in it is a repository; case is ignored, as on some disks."""
    found = {name.casefold() for name in names}
    return _HEAD in found and (found >= _PARTS or _ELSEWHERE in found)


def endangered_repository(path: str, root: str) -> str | None:
    """The folder, `root` or below it, that is a repository without `.git`, or could become one, if `path` is created.

    Both paths are absolute and resolved, `path` is below `root`. A missing part of a repository counts: `HEAD` always,
    because the others may be created after it, and the others if a `HEAD` exists.
    """
    folder = root
    for name in Path(path).relative_to(root).parts:
        present = [part for part in _NAMES if os.path.lexists(f"{folder}/{part}")]
        if is_bare_repository(present):
            return folder
        inner = f"{folder}/{name}"
        if not os.path.lexists(inner) and _is_missing_part(name, present):
            return folder
        folder = inner
    return folder if is_bare_repository(part for part in _NAMES if os.path.lexists(f"{folder}/{part}")) else None


def surrounding_repository(folder: str) -> str | None:
    """The folder, `folder` or above it, that is the inside of a repository: a `.git`, or a repository without one.

    A working tree in such a folder (`git worktree add`) is not part of its inside.
    """
    for place in (Path(folder), *Path(folder).parents):
        if os.path.lexists(place / ".git"):
            return None
        if place.name == ".git" or is_bare_repository(part for part in _NAMES if os.path.lexists(place / part)):
            return str(place)
    return None


def _is_missing_part(name: str, present: Iterable[str]) -> bool:
    part = name.casefold()
    return part == _HEAD or ("HEAD" in present and (part in _PARTS or part == _ELSEWHERE))
