"""Classifies each simple command of a plain line: it reads, changes the workspace, or needs approval.

It knows the working folder and follows `cd` through the line; words are expanded as bash would, and programs are looked
up in the tables with the result. It runs nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.machine.workspace import show_name
from vmpilot.permissions.command_spec import UNLIMITED, Program, Usage
from vmpilot.permissions.expansion import TooMuch, expand_glob, expand_word
from vmpilot.permissions.path_rules import PathRules, Unresolvable, is_folder, resolve
from vmpilot.permissions.read_only_commands import CHANGING_PROGRAMS, PROGRAMS
from vmpilot.permissions.shell_line import Line, Redirection, SimpleCommand, Word

Level: TypeAlias = Literal["read", "workspace"]

PATH_LIMIT = 8_000
"""Paths that are checked for one line."""
_FOLDER_LIMIT = 8
_PIECE = re.compile(r"[=:,]")
_SUBCOMMANDS = frozenset(name.partition(" ")[0] for name in PROGRAMS if " " in name)
_CLOSING = {"[": "]", "[[": "]]"}
"""The last word of commands that are conditions."""
_ARITHMETIC = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
"""Operators whose operands `[[` evaluates: in `[[ x -eq 1 ]]` the variable x may hold a subscript with a command."""
_MOVES_SHELL = frozenset({"cd", "pushd", "popd"})


@dataclass(frozen=True, slots=True)
class CommandClassification:
    """The classification of one simple command.

    `level` is how it may run without a question, None if it may not, and `reason` says why. `read_only` commands could
    also run unconfined: they can run nothing else. `inside`: it runs in the workspace, and its redirections change
    nothing elsewhere. `secret`: it would read what may be secret. `read_level_reason` says why it may run only where
    nothing can be changed (a file in the workspace may make it write, or run a program); empty for other commands.
    """

    command: SimpleCommand
    level: Level | None
    reason: str
    read_only: bool = False
    inside: bool = False
    secret: bool = False
    read_level_reason: str = ""


class _Objection(Exception):
    """Why a command needs approval. Names of files in it may hold any character, and are made safe to show."""

    def __init__(self, reason: str) -> None:
        super().__init__(show_name(reason))


class _Secret(_Objection):
    """The command would read what may be secret."""


class _SandboxHides(_Objection):
    """The command only reads, but a sandbox would hide what it is to read."""


def classify_line(line: Line, paths: PathRules, *, folder: Path) -> tuple[CommandClassification, ...]:
    """Classify the commands of a line that starts in `folder` (absolute)."""
    try:
        classifier = _LineClassifier(line, paths, resolve(folder))
    except Unresolvable as problem:
        return tuple(CommandClassification(command, None, show_name(str(problem))) for command in line)
    found = tuple(classifier.classify(number) for number in range(len(line)))
    if all(one.level == "read" for one in found):
        return found
    # The line does more than read, and so runs where something can be changed.
    return tuple(
        replace(one, level=None, reason=one.read_level_reason) if one.level and one.read_level_reason else one
        for one in found
    )


def changes_folder(line: Line) -> bool:
    """Whether the line may leave the shell in another folder."""
    return any(command.argv[0] == "cd" for command in line)


class _LineClassifier:
    """Goes through one line, keeping the folders in which the next command may start."""

    def __init__(self, line: Line, paths: PathRules, folder: str) -> None:
        self._line = line
        self._paths = paths
        self._folders: tuple[str, ...] = (folder,)
        self._left: tuple[str, ...] = ()
        self._lost = ""
        self._checked = 0
        self._has_or = any(command.separator == "||" for command in line)

    def classify(self, number: int) -> CommandClassification:
        """Classify the command; call it once for each, in order."""
        command = self._line[number]
        classification = self._classify(number)
        if classification.level is None and command.argv[0] in _MOVES_SHELL:
            self._lost = "Runs in an unknown folder"
        elif command.argv[0] == "mv" and self._moves_trees(command):
            self._lost = "Paths cannot be checked after a folder or link was moved"
        return classification

    def _classify(self, number: int) -> CommandClassification:
        command = self._line[number]
        if self._lost:
            return CommandClassification(command, None, self._lost)
        if command.separator not in {"&&", "|"}:
            self._folders = tuple(dict.fromkeys((*self._folders, *self._left)))
        inside, redirected = False, None
        try:
            in_workspace = all(map(self._paths.is_inside, self._resolve_all(".")))
            redirected = self._check_redirections(command.redirections)
            inside = in_workspace
            level, bound = self._classify_command(number)
        except _Objection as objection:
            read_only = isinstance(objection, _SandboxHides) and redirected == "read"
            secret = isinstance(objection, _Secret)
            return CommandClassification(command, None, str(objection), read_only, inside, secret)
        level = "workspace" if "workspace" in (level, redirected) else "read"
        reason = "Read-only" if level == "read" else "Changes only the workspace"
        read_only = level == "read" and not bound
        return CommandClassification(command, level, reason, read_only, inside, read_level_reason=bound)

    def _classify_command(self, number: int) -> tuple[Level, str]:
        """The level, and why it must be level read, if so. Raises `_Objection`."""
        command = self._line[number]
        for program_name in ("bash", command.argv[0]):
            if objection := self._paths.objection_to_running(program_name):
                raise _Objection(objection)
        words = self._expand(command)
        hides: _SandboxHides | None = None
        found: tuple[Level, str] = ("read", "")
        for variant in (*self._with_names(words), words):
            try:
                found = self._classify_words(variant)
            except _SandboxHides as objection:
                hides = objection
        if hides is not None:
            raise hides
        if command.argv[0] == "cd":
            self._follow(number, words)
        return found

    def _classify_words(self, words: Sequence[Word]) -> tuple[Level, str]:
        """The level of the program with these words; wildcards in them are literal."""
        name = words[0].text
        program, usage = _find_usage(words)
        hidden = self._check_reading(program, usage)
        if program.writes != "nothing":
            self._check_changes(program, usage)
            return "workspace", ""
        becomes_option = f"A wildcard may expand to an option of {name}; write ./* instead of *"
        may_be_option = any(word.is_glob and word.mask[0] in "*?[" for word in words)
        if program.looks_at_machine:
            if may_be_option:
                raise _Objection(becomes_option)
            raise _SandboxHides(f"{name} needs to see the whole machine, so it must run outside the sandbox")
        if hidden:
            raise _SandboxHides(f"The sandbox hides {hidden}, so it must run outside the sandbox")
        if program.runs_hooks:
            return "read", "The repository's configuration may run other programs"
        if not program.harmless and may_be_option:
            return "read", becomes_option
        if program.operands < UNLIMITED and any(word.is_glob for word in words):
            return "read", f"A wildcard may expand to a file that {name} writes to"
        return "read", ""

    def _expand(self, command: SimpleCommand) -> list[Word]:
        """The words of the command with everything but wildcards expanded."""
        if command.words[0].has_wildcard:
            raise _Objection("An expansion decides which program runs")
        try:
            return [one for word in command.words for one in expand_word(word, self._paths.home)]
        except TooMuch as problem:
            raise _Objection(str(problem)) from problem

    def _with_names(self, words: Sequence[Word]) -> Iterator[list[Word]]:
        """The words with wildcards replaced by the present names of files, for each possible folder."""
        if not any(word.is_glob for word in words):
            return
        for folder in self._folders:
            found: list[Word] = []
            for word in words:
                try:
                    names = expand_glob(word, folder, self._count) if word.is_glob else []
                except TooMuch as problem:
                    raise _Objection(str(problem)) from problem
                found += map(Word.quoted, names) if names else [word]
            yield found

    def _follow(self, number: int, words: Sequence[Word]) -> None:
        """The shell changes its folder, if it can. Raises `_Objection` if that cannot be followed."""
        next_separator = self._line[number + 1].separator if number + 1 < len(self._line) else ""
        if "|" in (self._line[number].separator, next_separator):
            raise _Objection("cd in a pipeline does not change the folder of other commands")
        if len(words) != 2 or words[1].text in {"", "-"} or words[1].is_glob:
            raise _Objection("cd without a plain folder cannot be followed")
        target = words[1].text
        self._count(2 * len(self._folders))
        logical = [os.path.normpath(Path(folder, target)) for folder in self._folders]
        physical = [_resolve(folder, target) for folder in self._folders]
        self._left += self._folders
        stay = self._folders if self._has_or else ()
        self._folders = tuple(dict.fromkeys((*logical, *physical, *stay)))
        if len(self._folders) > _FOLDER_LIMIT:
            raise _Objection("Changes the folder too often to be followed")

    def _check_reading(self, program: Program, usage: Usage) -> str | None:
        """A path that is read and that a sandbox hides. Raises `_Objection` if something must not be read unasked."""
        below = program.reads_below(usage)
        hidden = next((path for path in self._resolve_all(".") if self._paths.is_hidden_by_sandbox(path)), None)
        for path in self._paths_read(program, usage):
            in_folder = program.reads_trees == "folders" and is_folder(path)
            if in_folder and program.follows_links(usage):
                raise _Objection(f"Follows links in {path} without --{program.keeps_links}")
            searches = below or in_folder
            objection = self._paths.objection_to_searching(path) if searches else self._paths.objection_to_reading(path)
            if objection:
                raise _Secret(objection)
            if self._paths.is_hidden_by_sandbox(path):
                hidden = path
        return hidden

    def _paths_read(self, program: Program, usage: Usage) -> Iterable[str]:
        operands = [word.text for word in usage.operands[program.count_texts(usage) :]]
        values = [value for option, value in usage.values if option not in program.text_values]
        if not operands and program.reads_below(usage):
            operands.append(".")
        for text in (*operands, *values):
            for piece in {text, *_PIECE.split(text)} - {""}:
                yield from self._resolve_all(piece)

    def _check_changes(self, program: Program, usage: Usage) -> None:
        operands = usage.operands[program.count_texts(usage) :]
        if any(word.is_glob for word in operands):
            raise _Objection("A wildcard decides which files change")
        # A target of a copy may be the workspace: then something in it is made, and it stays.
        copies = program.writes in {"target", "sources and target"}
        for target in _targets(program, operands):
            if not copies or self._resolve_all(target) != [self._paths.root]:
                self._check_change(target)

    def _check_change(self, target: str) -> None:
        if objection := self._paths.objection_to_confined_changes:
            raise _Objection(objection)
        for path in self._resolve_all(target):
            if objection := self._paths.objection_to_changing(path):
                raise _Objection(objection)

    def _check_redirections(self, redirections: Sequence[Redirection]) -> Level:
        level: Level = "read"
        for redirection in redirections:
            target = redirection.target.text
            if redirection.operator == "<":
                for path in self._resolve_all(target):
                    if objection := self._paths.objection_to_reading(path):
                        raise _Secret(objection)
                    if self._paths.is_hidden_by_sandbox(path):
                        raise _Objection(f"The sandbox hides {path}, so it must run outside the sandbox")
            elif redirection.operator != ">&" and target != "/dev/null":
                self._check_change(target)
                level = "workspace"
        return level

    def _moves_trees(self, command: SimpleCommand) -> bool:
        """Whether a folder or a link may be among what it moves."""
        try:
            words = self._expand(command)[1:]
        except _Objection:
            return True
        paths = [Path(folder, word.text) for folder in self._folders for word in words]
        return any(word.is_glob for word in words) or any(is_folder(path) or path.is_symlink() for path in paths)

    def _resolve_all(self, text: str) -> list[str]:
        self._count(len(self._folders))
        return [_resolve(folder, text) for folder in self._folders]

    def _count(self, count: int) -> None:
        self._checked += count
        if self._checked > PATH_LIMIT:
            raise _Objection("Names too many files to check")


def _resolve(folder: str, text: str) -> str:
    try:
        return resolve(Path(folder, text))
    except Unresolvable as problem:
        raise _Objection(str(problem)) from problem


def _find_usage(words: Sequence[Word]) -> tuple[Program, Usage]:
    """The table's entry that permits all arguments. Raises `_Objection`."""
    name, arguments = words[0].text, words[1:]
    if name in _CLOSING:
        arguments = _condition(name, arguments)
    if name in _SUBCOMMANDS and arguments:
        rest = arguments[1:] if arguments[0].text == "--no-pager" else arguments
        if rest and f"{name} {rest[0].text}" in PROGRAMS:
            name, arguments = f"{name} {rest[0].text}", rest[1:]
    for program in [table[name] for table in (PROGRAMS, CHANGING_PROGRAMS) if name in table]:
        if (usage := program.parse(arguments)) is not None:
            return program, usage
    raise _Objection("Not known to be read-only")


def _condition(name: str, arguments: Sequence[Word]) -> Sequence[Word]:
    """The words inside a condition. `[[` expands no wildcards, so what they mean there is not what was looked up."""
    if not arguments or arguments[-1].text != _CLOSING[name]:
        raise _Objection("The condition has no end")
    inner = arguments[:-1]
    if name == "[[":
        operators = {word.text[1:] for word in inner if word.text.startswith("-")}
        if any(word.has_wildcard for word in inner) or (
            operators & _ARITHMETIC and not all(re.fullmatch(r"-?[0-9]+|-[a-z]{2}", word.text) for word in inner)
        ):
            raise _Objection("The condition uses patterns or arithmetic")
    return inner


def _targets(program: Program, operands: Sequence[Word]) -> list[str]:
    """The files that are made or changed. Raises `_Objection` if the arguments do not say."""
    texts = [word.text for word in operands]
    if program.writes in {"operands", "operands behind the texts"}:
        return texts
    if len(texts) < 2:
        raise _Objection("Names no target")
    *sources, target = texts
    names = [source.rstrip("/").rpartition("/")[2] for source in sources]
    if any(name in {"", ".", ".."} for name in names):
        raise _Objection("The name of a copy is not in the command")
    made = [f"{target}/{name}" for name in names]
    return [target, *made, *(sources if program.writes == "sources and target" else ())]
