"""What each simple command of a plain line does: read, change the workspace, or something that must be asked about.

It knows the working folder and follows `cd` through the line; programs are looked up in the tables. It runs nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.policy.line import Line, Redirection, SimpleCommand, Word
from vmpilot.policy.places import Places, Unresolvable, resolve
from vmpilot.policy.programs import Program, Usage
from vmpilot.policy.reading_programs import CHANGING_PROGRAMS, PROGRAMS

Level: TypeAlias = Literal["read", "workspace"]

PATH_LIMIT = 1_000
"""Paths that are looked at for one line."""
_FOLDER_LIMIT = 8
_PIECE = re.compile(r"[=:,]")
_SUBCOMMANDS = frozenset(name.partition(" ")[0] for name in PROGRAMS if " " in name)
_COPYING = frozenset({"target", "sources and target"})
"""Such a target is a folder, too: then something in it is made, and it stays."""
_NO_PAGER = "--no-pager"
_SHELL = "bash"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one simple command does.

    `level` is how it may run without a question, None where it may not, and `why` says so. `only_reads` commands could
    also run unconfined: they can run nothing else. `inside`: it runs in the workspace, and its redirections, if any,
    change nothing else. `secret`: it was to read what it should not.
    """

    command: SimpleCommand
    level: Level | None
    why: str
    only_reads: bool = False
    inside: bool = False
    secret: bool = False


class _Objection(Exception):
    """Why a command must be asked about."""


class _Secret(_Objection):
    """The command would read what may be secret."""


class _SandboxHides(_Objection):
    """The command only reads, but a sandbox would hide from it what it is to read."""


def judge_line(line: Line, places: Places, *, folder: Path) -> tuple[Judgement, ...]:
    """Judge the commands of a line that starts in `folder` (absolute)."""
    try:
        judge = _LineJudge(line, places, resolve(folder))
    except Unresolvable as problem:
        return tuple(Judgement(command, None, str(problem)) for command in line)
    return tuple(judge.judge(number) for number in range(len(line)))


def changes_folder(line: Line) -> bool:
    """Whether the line may leave the shell in another folder."""
    return any(command.argv[0] == "cd" for command in line)


class _LineJudge:
    """Goes through one line, keeping the folders in which the next command may find itself."""

    def __init__(self, line: Line, places: Places, folder: str) -> None:
        self._line = line
        self._places = places
        self._folders: tuple[str, ...] = (folder,)
        self._left: tuple[str, ...] = ()
        self._paths = 0
        self._has_or = any(command.joint == "||" for command in line)

    def judge(self, number: int) -> Judgement:
        """Judge the command; to be called once for each, in order."""
        command = self._line[number]
        if command.joint not in {"&&", "|"}:
            self._folders = tuple(dict.fromkeys((*self._folders, *self._left)))
        inside = False
        try:
            inside = all(map(self._places.is_inside, self._resolve_all(".")))
            redirected = self._judge_redirections(command.redirections)
        except _Objection as objection:
            return Judgement(command, None, str(objection), secret=isinstance(objection, _Secret))
        try:
            level, hooks = self._judge_command(number)
        except _SandboxHides as objection:
            return Judgement(command, None, str(objection), only_reads=redirected == "read", inside=inside)
        except _Objection as objection:
            return Judgement(command, None, str(objection), inside=inside, secret=isinstance(objection, _Secret))
        level = "workspace" if "workspace" in (level, redirected) else "read"
        why = "it only reads" if level == "read" else "it only changes the workspace"
        return Judgement(command, level, why, only_reads=level == "read" and not hooks, inside=inside)

    def _judge_command(self, number: int) -> tuple[Level, bool]:
        """The level, and whether the program may run what a repository says. Raises `_Objection`."""
        command = self._line[number]
        program, usage = _find_usage(command)
        for program_name in (_SHELL, command.argv[0]):
            if objection := self._places.against_running(program_name):
                raise _Objection(objection)
        hidden = self._check_reading(program, usage)
        if command.argv[0] == "cd":
            self._follow(number, usage)
        if program.writes != "nothing":
            self._check_changes(program, usage)
            return "workspace", False
        if program.looks_at_machine:
            raise _SandboxHides(f"{command.argv[0]} looks at the machine, which a sandbox hides from it")
        if hidden:
            raise _SandboxHides(f"in a sandbox {hidden} is not what it is here")
        return "read", program.runs_hooks

    def _follow(self, number: int, usage: Usage) -> None:
        """The shell goes to another folder, if it can. Raises `_Objection` where that cannot be followed."""
        next_joint = self._line[number + 1].joint if number + 1 < len(self._line) else ""
        if "|" in (self._line[number].joint, next_joint):
            raise _Objection("cd in a pipe does not mean what it says")
        if len(usage.operands) != 1 or usage.operands[0].text in {"", "-"} or usage.operands[0].has_wildcard:
            raise _Objection("cd without a plain folder goes to a place that is not written there")
        target = usage.operands[0].text
        self._look_at(2 * len(self._folders))
        logical = [os.path.normpath(Path(folder, target)) for folder in self._folders]
        physical = [self._resolve(folder, target) for folder in self._folders]
        self._left += self._folders
        stay = self._folders if self._has_or else ()
        self._folders = tuple(dict.fromkeys((*logical, *physical, *stay)))
        if len(self._folders) > _FOLDER_LIMIT:
            raise _Objection("it changes the folder too often to be followed")

    def _check_reading(self, program: Program, usage: Usage) -> str | None:
        """Raises `_Objection` where something must not be read unasked; gives what a sandbox would hide."""
        below = program.reads_below(usage)
        hidden = next((path for path in self._resolve_all(".") if self._places.is_hidden_by_sandbox(path)), None)
        for path in self._paths_read(program, usage):
            objection = self._places.against_searching(path) if below else self._places.against_reading(path)
            if objection:
                raise _Secret(objection)
            if self._places.is_hidden_by_sandbox(path):
                hidden = path
        return hidden

    def _paths_read(self, program: Program, usage: Usage) -> Iterable[str]:
        operands = [text for word in usage.operands[program.count_texts(usage) :] for text in self._expand(word)]
        values = [value for option, value in usage.values if option not in program.text_values]
        if not operands and program.reads_trees != "never":
            operands.append(".")
        for text in (*operands, *values):
            for piece in {text, *_PIECE.split(text)} - {""}:
                yield from self._resolve_all(piece)

    def _check_changes(self, program: Program, usage: Usage) -> None:
        operands = usage.operands[program.count_texts(usage) :]
        if any(word.has_wildcard for word in operands):
            raise _Objection("which files it changes depends on a wildcard")
        for target in _targets(program, operands):
            if program.writes not in _COPYING or self._resolve_all(target) != [self._places.root]:
                self._check_change(target)

    def _check_change(self, target: str) -> None:
        if objection := self._places.against_confined_changes:
            raise _Objection(objection)
        for path in self._resolve_all(target):
            if objection := self._places.against_changing(path):
                raise _Objection(objection)

    def _judge_redirections(self, redirections: Sequence[Redirection]) -> Level:
        level: Level = "read"
        for redirection in redirections:
            target = redirection.target.text
            if redirection.operator == "<":
                for path in self._resolve_all(target):
                    if objection := self._places.against_reading(path):
                        raise _Secret(objection)
                    if self._places.is_hidden_by_sandbox(path):
                        raise _Objection(f"in a sandbox {path} is not what it is here")
            elif redirection.operator != ">&" and target != "/dev/null":
                self._check_change(target)
                level = "workspace"
        return level

    def _expand(self, word: Word) -> list[str]:
        """The word, and with a wildcard in its last part also the files that the shell may put in its place."""
        if not word.has_wildcard:
            return [word.text]
        folder, slash, _ = word.text.rpartition("/")
        pattern = _pattern(word.text[len(folder + slash) :], word.mask[len(folder + slash) :])
        found = [word.text]
        for start in self._folders:
            names = _names(self._resolve(start, folder + slash))
            self._look_at(len(names))
            found += [folder + slash + name for name in names if pattern.fullmatch(name)]
        return found

    def _resolve_all(self, text: str) -> list[str]:
        self._look_at(len(self._folders))
        return [self._resolve(folder, text) for folder in self._folders]

    def _resolve(self, folder: str, text: str) -> str:
        try:
            return resolve(Path(folder, text))
        except Unresolvable as problem:
            raise _Objection(str(problem)) from problem

    def _look_at(self, count: int) -> None:
        self._paths += count
        if self._paths > PATH_LIMIT:
            raise _Objection("it names too many files to be checked")


def _find_usage(command: SimpleCommand) -> tuple[Program, Usage]:
    """The table's entry under which all arguments are permitted. Raises `_Objection`."""
    name, arguments = command.argv[0], command.words[1:]
    if command.words[0].has_wildcard:
        raise _Objection("which program runs depends on a wildcard")
    if name in _SUBCOMMANDS and arguments:
        rest = arguments[1:] if arguments[0].text == _NO_PAGER else arguments
        if rest and f"{name} {rest[0].text}" in PROGRAMS:
            name, arguments = f"{name} {rest[0].text}", rest[1:]
    for program in [table[name] for table in (PROGRAMS, CHANGING_PROGRAMS) if name in table]:
        if (usage := program.read(arguments)) is not None:
            return program, usage
    raise _Objection("it may change something")


def _pattern(text: str, mask: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    return re.compile(
        "".join(signs.get(shown, re.escape(char)) for char, shown in zip(text, mask, strict=True)), re.DOTALL
    )


def _names(folder: str) -> list[str]:
    """The names in a folder, none where it cannot be read. Raises `_Objection` where there are too many."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, PATH_LIMIT + 1)]
    except OSError:
        return []
    if len(names) > PATH_LIMIT:
        raise _Objection("a wildcard stands for more files than are looked at")
    return names


def _targets(program: Program, operands: Sequence[Word]) -> list[str]:
    """The files that are made or changed. Raises `_Objection` where the arguments do not tell."""
    texts = [word.text for word in operands]
    if program.writes in {"operands", "operands behind the texts"}:
        return texts
    if len(texts) < 2:
        raise _Objection("it names no target")
    *sources, target = texts
    names = [source.rstrip("/").rpartition("/")[2] for source in sources]
    if any(name in {"", ".", ".."} for name in names):
        raise _Objection("what it copies has no name of its own")
    made = [f"{target}/{name}" for name in names]
    return [target, *made, *(sources if program.writes == "sources and target" else ())]
