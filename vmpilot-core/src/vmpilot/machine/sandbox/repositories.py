"""Finds files in a writable workspace that must not change: git repositories' inner folders, and project files.

Whoever can write to a `.git` chooses programs that run at the next `git status` outside the sandbox.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vmpilot.machine.workspace import is_bare_repository

_BULKY = frozenset(
    {"node_modules", ".venv", "venv", "__pycache__", "target", "build", "dist", ".tox", ".nox", ".cache"}
)
"""Searched last: they rarely contain a repository, but often thousands of folders."""
_MOST_UNSEEN = 16


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a search. `guarded` must not be changed. `unseen` folders could not be read, or not in time; they
    must not be changed either, because they may contain more.
    """

    guarded: tuple[Path, ...]
    unseen: tuple[Path, ...]


@dataclass(slots=True)
class _Search:
    names: frozenset[str]
    until: float
    guarded: list[Path] = field(default_factory=list)
    unseen: list[Path] = field(default_factory=list)

    def look_below(self, top: str, bulky: list[str] | None) -> None:
        """Search `top` and everything below; collect bulky folders, or with None search them, too.

        A bulky folder that is not finished in time is unseen as a whole.
        """
        folders = deque([top])
        while folders:
            if time.monotonic() > self.until:
                self.unseen += [Path(top)] if bulky is None else map(Path, folders)
                return
            for name, path in self._look_into(folders.popleft()):
                if bulky is not None and name in _BULKY:
                    bulky.append(path)
                else:
                    folders.append(path)

    def _look_into(self, folder: str) -> list[tuple[str, str]]:
        """Note what is guarded in the folder; give the names and paths of the folders in it."""
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            self.unseen.append(Path(folder))
            return []
        if is_bare_repository(entry.name for entry in entries):
            self.guarded.append(Path(folder))
            return []
        for entry in entries:
            if entry.name in self.names:
                self._guard(entry)
        return [
            (entry.name, entry.path)
            for entry in entries
            if entry.name not in self.names and entry.is_dir(follow_symlinks=False)
        ]

    def _guard(self, entry: os.DirEntry[str]) -> None:
        """A link itself cannot be covered, so its folder must not change."""
        path = Path(entry.path)
        if entry.is_symlink():
            self.unseen.append(path.parent)
        else:
            self.guarded.append(path)


def survey(root: Path, names: Iterable[str], *, seconds: float) -> Survey:
    """Find files and folders of these names, and bare repositories, in `root` and below, within `seconds`."""
    search = _Search(frozenset(names), until=time.monotonic() + seconds)
    bulky: list[str] = []
    search.look_below(str(root), bulky)
    for folder in bulky:
        search.look_below(folder, None)
    return Survey(tuple(search.guarded), tuple(_few(search.unseen)))


def _few(paths: list[Path]) -> list[Path]:
    """The topmost ones; if they are too many, folders that contain them."""
    found = _topmost(set(paths))
    while len(found) > _MOST_UNSEEN:
        depth = max(len(path.parts) for path in found)
        found = _topmost({path.parent if len(path.parts) == depth else path for path in found})
    return found


def _topmost(paths: set[Path]) -> list[Path]:
    return sorted(path for path in paths if not any(parent in paths for parent in path.parents))
