"""Walks a folder by descriptors, in the order of names: follows no link, skips ignored entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.tools.files._ignore_rules import Level, is_ignored, is_in_repository, read_level, read_levels_above
from vmpilot.tools.files._threads import Watch

DEEPEST = 200
"""Nested folders that are walked."""

SYSTEM = frozenset({"proc", "sys", "dev"})
"""Folders in `/` without real files: a walk of `/` skips them, a walk of one of them does not."""

_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Kind: TypeAlias = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something below the folder; `path` is relative to it."""

    path: str
    kind: Kind


@dataclass(slots=True)
class Walk:
    """One walk, and what it could not read. `folder` is a descriptor of the folder at `path`."""

    folder: int
    path: Path
    watch: Watch
    unreadable: list[str] = field(default_factory=list)
    ended_early: bool = False
    _bounded: bool = False

    def __iter__(self) -> Iterator[Entry]:
        """The entries; stops early when the time is over. Raises `Stopped`, and OSError for the folder itself."""
        self._bounded = is_in_repository(self.path)
        levels = read_levels_above(self.path)
        return self._walk(os.open(".", _READ, dir_fd=self.folder), "", levels)

    def _walk(self, descriptor: int, prefix: str, levels: list[Level]) -> Iterator[Entry]:
        """Closes the descriptor."""
        try:
            entries = self._list(descriptor, prefix)
            depth = prefix.count("/")
            here = read_level(descriptor, (entry.name for entry in entries), depth=depth)
            levels = [*levels, here] if here is not None else levels
            for entry in entries:
                if self.watch.is_over:
                    self.ended_early = True
                if self.ended_early:
                    return
                path, kind = f"{prefix}{entry.name}", _kind(entry)
                if entry.name == ".git" or (path in SYSTEM and self.path == Path("/")):
                    continue
                if is_ignored(levels, path, is_folder=kind == "folder", bounded=self._bounded):
                    continue
                yield Entry(path, kind)
                if kind == "folder" and (inner := self._enter(descriptor, entry.name, path)) is not None:
                    yield from self._walk(inner, f"{path}/", levels)
        finally:
            os.close(descriptor)

    def _list(self, descriptor: int, prefix: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(descriptor) as entries:
                return sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            self.unreadable.append(prefix)
            return []

    def _enter(self, descriptor: int, name: str, path: str) -> int | None:
        if path.count("/") < DEEPEST:
            try:
                return os.open(name, _READ, dir_fd=descriptor)
            except FileNotFoundError:
                return None
            except OSError:
                pass
        self.unreadable.append(path)
        return None


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_symlink():
            return "link"
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return "file" if entry.is_file(follow_symlinks=False) else "special"
    except OSError:
        return "special"
