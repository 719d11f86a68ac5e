"""What `.gitignore`, `.ignore` and `.rgignore` files say, as ripgrep reads them: nearest file first, last rule counts.

In a git repository those `.gitignore` count that lie in it, as for git; outside of any, all do. No global list counts,
nor `.git/info/exclude`. Rules: gitignore(5).
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
from vmpilot.tools.files.contents import TooLarge, read_up_to
from vmpilot.tools.files.globs import BadGlob, translate, translate_name

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
    """The rules of one ignore file, a character for a byte; its paths begin at the file's folder."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _read_rule(line))]
        self._names = _any_of([rule for rule in self._rules if rule.by_name])
        self._paths = _any_of([rule for rule in self._rules if not rule.by_name])

    def decide(self, path: str, name: str, *, is_folder: bool) -> bool | None:
        """Whether an entry is ignored; None where no rule is about it."""
        path, name = _bytewise(path), _bytewise(name)
        if not (self._names and self._names.fullmatch(name)) and not (self._paths and self._paths.fullmatch(path)):
            return None
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(name if rule.by_name else path):
                return rule.ignores
        return None


@dataclass(frozen=True, slots=True)
class Level:
    """The ignore files of one folder. `prefix` leads from there to the searched folder, `depth` the other way."""

    files: tuple[RuleFile | None, ...]
    is_repository: bool
    prefix: str = ""
    depth: int = 0


def is_ignored(levels: Sequence[Level], path: str, *, is_folder: bool, bounded: bool) -> bool:
    """Whether the entry at `path`, from the searched folder on, is ignored; `levels` are those above it, nearest last.

    Whether a folder above it is ignored is not asked. `bounded`: a repository's root ends what `.gitignore` reaches.
    """
    name = path.rpartition("/")[2]
    for kind in range(len(NAMES)):
        for level in reversed(levels):
            rules = level.files[kind]
            if rules is not None:
                verdict = rules.decide(_seen_from(level, path), name, is_folder=is_folder)
                if verdict is not None:
                    return verdict
            if bounded and level.is_repository and NAMES[kind] == ".gitignore":
                break
    return False


def read_level(folder: int, names: Iterable[str], *, depth: int = 0, prefix: str = "") -> Level | None:
    """The ignore files in a folder with these entries, None where that means nothing."""
    present = set(names)
    is_repository = ".git" in present
    files = tuple(_read_rules(folder, name) if name in present else None for name in NAMES)
    return Level(files, is_repository, prefix, depth) if is_repository or any(files) else None


def read_levels_above(folder: Path) -> list[Level]:
    """The ignore files of all folders above this one, nearest last; those that cannot be read count as empty."""
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


def _seen_from(level: Level, path: str) -> str:
    return path.split("/", level.depth)[level.depth] if level.depth else level.prefix + path


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
    """`?` is one byte to git and to ripgrep."""
    return name if name.isascii() else os.fsencode(name).decode("latin-1")


def _any_of(rules: Sequence[_Rule]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{rule.pattern.pattern})" for rule in rules), re.DOTALL) if rules else None
