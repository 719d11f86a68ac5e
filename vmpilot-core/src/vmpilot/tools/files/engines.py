"""The programs that search: ripgrep where there is one, else our own matcher. Both tell places, and show no text."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.tools.files import matcher
from vmpilot.tools.files.ignore_rules import is_in_repository
from vmpilot.tools.files.walk import SYSTEM

_NOT_LINEAR = re.compile(r"\(\?(?:[=!]|<[=!]|P=|\()|\\[1-9]")
_ONLY_RIPGREP = re.compile(r"\\[pPz]|\\x\{|\[\[:|\(\?<[A-Za-z]")
_ESCAPED = re.compile(r"\\[^1-9pPzx]")
_PLAIN_GLOB = re.compile(r"[\w.*?-]+")


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for, in files whose paths fit `glob` (None: all)."""

    pattern: str
    glob: str | None = None
    ignore_case: bool = False


def refuse_other_dialects(query: Query, *, with_ripgrep: bool) -> None:
    """Raises `ToolError` for what only one of the two takes, or takes without end."""
    said = _ESCAPED.sub("", query.pattern)
    if "\n" in query.pattern or "\\n" in query.pattern:
        raise ToolError("The search goes line by line, so a pattern cannot have a line end in it.")
    if found := _NOT_LINEAR.search(said):
        raise ToolError(f"{found[0]} is not taken: no look-around, no references back. Search for less, then look.")
    if not with_ripgrep and (found := _ONLY_RIPGREP.search(said)):
        raise ToolError(f"{found[0]} is only understood where ripgrep is installed. Write it in another way.")
    if not with_ripgrep:
        _refuse_invalid(query.pattern)


def find_ripgrep(environment: Mapping[str, str], *, apart_from: Path) -> str | None:
    """The program on the PATH, but for one in a folder whose files change without asking: that would run anything."""
    for folder in environment.get("PATH", "").split(os.pathsep):
        if not Path(folder).is_absolute():
            continue
        found = shutil.which("rg", path=folder)
        if found is not None and not _is_in(apart_from, found):
            return found
    return None


def _is_in(folder: Path, program: str) -> bool:
    return any(path.is_relative_to(folder) for path in (Path(program), Path(program).resolve()))


def ripgrep_command(program: str, query: Query, *, folder: Path, file: str | None = None) -> Sequence[str]:
    """Search everything below the working folder, which is `folder`, in the order of names; or `file` in it."""
    command = [program, "--no-config", "--color=never", "--no-heading", "--with-filename", "--null", "--line-number"]
    command += ["--column", "--byte-offset", "--max-columns=1", "--hidden", "--no-follow", "--sort=path", "--crlf"]
    command += ["--no-ignore-global", "--no-ignore-exclude", "--encoding=none", "--no-mmap"]
    command += ["--glob=!.git"]
    if not is_in_repository(folder):
        command.append("--no-require-git")
    if folder == Path("/"):
        command += [f"--glob=!/{name}" for name in sorted(SYSTEM)]
    if query.glob is not None and _PLAIN_GLOB.fullmatch(query.glob):  # others are told apart afterwards
        command += [f"--type-add=wanted:{query.glob}", "--type=wanted"]
    if query.ignore_case:
        command.append("--ignore-case")
    return [*command, f"--regexp={query.pattern}", "--", f"./{file or ''}"]


def matcher_command(query: Query) -> Sequence[str]:
    """Search the files that standard input names."""
    return [
        sys.executable,
        "-I",
        "-S",
        "-W",
        "ignore",
        matcher.__file__,
        query.pattern,
        *(["i"] if query.ignore_case else []),
    ]


def bad_expression(pattern: str, reason: str) -> ToolError:
    """The error for a pattern that no engine takes."""
    return ToolError(
        f"{pattern} is no regular expression: {reason}. Write \\ before ( ) [ ] {{ }} . * + ? | that are meant."
    )


def _refuse_invalid(pattern: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise bad_expression(pattern, str(error)) from error
