"""Walks a folder by descriptors, in the order of names: follows no link, skips ignored entries.

The rules of `.gitignore`, `.ignore` and `.rgignore` are read as by ripgrep: nearest file first, last rule wins. In a
git repository, only its `.gitignore` files count, as for git; outside of repositories, all do. Global lists and
`.git/info/exclude` do not count. Rules: gitignore(5).
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.machine.workspace import open_regular, opened_folder
from vmpilot.tools.files._content import TooLarge, read_up_to
from vmpilot.tools.files._globs import BadGlob, translate, translate_name
from vmpilot.tools.files._threads import Watch

NAMES = (".rgignore", ".ignore", ".gitignore")
_LARGEST = 1_000_000
_TRAILING_BLANKS = re.compile(r"(?<!\\)[ \t]+\Z")


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    ignores: bool
    folders_only: bool
    by_name: bool


class RuleFile:
    """The rules of one ignore file, one character per byte; paths are relative to the file's folder."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _read_rule(line))]
        self._names = _any_of([rule for rule in self._rules if rule.by_name])
        self._paths = _any_of([rule for rule in self._rules if not rule.by_name])

    def decide(self, path: str, name: str, *, is_folder: bool) -> bool | None:
        """Whether an entry is ignored; None if no rule matches it."""
        path, name = _bytewise(path), _bytewise(name)
        if not (self._names and self._names.fullmatch(name)) and not (self._paths and self._paths.fullmatch(path)):
            return None
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(name if rule.by_name else path):
                return rule.ignores
        return None


@dataclass(frozen=True, slots=True)
class Level:
    """The ignore files of one folder, `depth` below the searched folder, or above it by the path `prefix`."""

    files: tuple[RuleFile | None, ...]
    is_repository: bool
    prefix: str = ""
    depth: int = 0


def is_ignored(levels: Sequence[Level], path: str, *, is_folder: bool, bounded: bool) -> bool:
    """Whether the entry at `path`, relative to the searched folder, is ignored; `levels` are those above, nearest last.

    Ignored parent folders do not matter here. `bounded`: `.gitignore` files above a repository's root do not count.
    """
    name = path.rpartition("/")[2]
    for kind in range(len(NAMES)):
        for level in reversed(levels):
            rules = level.files[kind]
            if rules is not None:
                seen = path.split("/", level.depth)[level.depth] if level.depth else level.prefix + path
                decision = rules.decide(seen, name, is_folder=is_folder)
                if decision is not None:
                    return decision
            if bounded and level.is_repository and NAMES[kind] == ".gitignore":
                break
    return False


def read_level(folder: int, names: Iterable[str], *, depth: int = 0, prefix: str = "") -> Level | None:
    """The ignore files in a folder with these entries, None without any, unless it is a repository's root."""
    present = set(names)
    is_repository = ".git" in present
    files = tuple(_read_rules(folder, name) if name in present else None for name in NAMES)
    return Level(files, is_repository, prefix, depth) if is_repository or any(files) else None


def read_levels_above(folder: Path) -> list[Level]:
    """The ignore files of all folders above this one, nearest last; unreadable ones count as empty."""
    levels = []
    for parent in reversed(folder.parents):
        with suppress(OSError), opened_folder(parent) as descriptor:
            present = [name for name in (*NAMES, ".git") if _exists(descriptor, name)]
            level = read_level(descriptor, present, prefix=f"{folder.relative_to(parent)}/")
            if level is not None:
                levels.append(level)
    return levels


def is_in_repository(folder: Path) -> bool:
    """Whether the folder or one above it is the root of a git repository."""
    return any(os.path.lexists(parent / ".git") for parent in (folder, *folder.parents))


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _read_rules(folder: int, name: str) -> RuleFile | None:
    try:
        descriptor, _ = open_regular(folder, name)
    except OSError:
        return None
    try:
        lines = read_up_to(descriptor, _LARGEST).removeprefix(codecs.BOM_UTF8).decode("latin-1")
        return RuleFile(lines.split("\n"))
    except (OSError, TooLarge):
        return None
    finally:
        os.close(descriptor)


def _read_rule(line: str) -> _Rule | None:
    line = _TRAILING_BLANKS.sub("", line.removesuffix("\r"))
    if not line or line.startswith("#"):
        return None
    ignores = not line.startswith("!")
    glob = line if ignores else line[1:]
    folders_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    by_name = "/" not in glob
    glob = glob.removeprefix("/")
    if not glob:
        return None
    try:
        pattern = re.compile(translate_name(glob) if by_name else translate(glob), re.DOTALL)
    except BadGlob:
        return None
    return _Rule(pattern, ignores, folders_only, by_name)


def _bytewise(name: str) -> str:
    """`?` matches one byte in git and ripgrep."""
    return name if name.isascii() else os.fsencode(name).decode("latin-1")


def _any_of(rules: Sequence[_Rule]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{rule.pattern.pattern})" for rule in rules), re.DOTALL) if rules else None


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
    """One walk, and the entries that it could not read. `folder` is a descriptor of the folder at `path`."""

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
