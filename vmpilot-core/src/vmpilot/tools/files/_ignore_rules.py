"""The rules of `.gitignore`, `.ignore` and `.rgignore`, as ripgrep reads them: nearest file first, last rule wins.

In a git repository only its own `.gitignore` files count, as for git; outside of any, all do. Global lists and
`.git/info/exclude` do not count. Rules: gitignore(5).
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmpilot.machine.workspace import open_regular, opened_folder
from vmpilot.tools.files._content import TooLarge, read_up_to
from vmpilot.tools.files._globs import BadGlob, translate, translate_name

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

    Ignored folders above it do not matter here. `bounded`: `.gitignore` files above a repository's root do not count.
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
    """The ignore files in a folder with these entries, None if there are none and it is not a repository's root."""
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
