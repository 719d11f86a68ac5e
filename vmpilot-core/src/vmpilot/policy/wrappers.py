"""Programs that run another command which stands among their arguments, and shells that are handed one as text.

It serves rules that forbid: what may stand behind a wrapper is held against them. It approves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Argv: TypeAlias = tuple[str | None, ...]
"""The words of a command; None for a word that only the shell knows."""

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_VERSION = re.compile(r"[\d.]+$")


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """`valued` are the options whose value is the next word; `operands` stand before the command."""

    valued: frozenset[str] = frozenset()
    operands: int = 0


def _wrapper(valued: str = "", operands: int = 0) -> _Wrapper:
    return _Wrapper(frozenset(valued.split()), operands)


WRAPPERS: Mapping[str, _Wrapper] = {
    "builtin": _wrapper(),
    "busybox": _wrapper(),
    "chroot": _wrapper(operands=1),
    "chrt": _wrapper(operands=1),
    "command": _wrapper(),
    "coproc": _wrapper(),
    "doas": _wrapper("-u -C"),
    "env": _wrapper("-u --unset -C --chdir"),
    "exec": _wrapper("-a"),
    "fakeroot": _wrapper(),
    "flock": _wrapper("-w -E", operands=1),
    "ionice": _wrapper("-c -n"),
    "nice": _wrapper("-n"),
    "nohup": _wrapper(),
    "nsenter": _wrapper("-t"),
    "setsid": _wrapper(),
    "stdbuf": _wrapper("-i -o -e"),
    "strace": _wrapper("-o -e -s"),
    "sudo": _wrapper("-u -g -h -p -C -r -t -D -T -R -U --user --group --chdir"),
    "systemd-run": _wrapper("-p -u --unit"),
    "taskset": _wrapper(operands=1),
    "time": _wrapper("-f -o"),
    "timeout": _wrapper("-s -k --signal --kill-after", operands=1),
    "toybox": _wrapper(),
    "unshare": _wrapper(),
    "watch": _wrapper("-n"),
    "xargs": _wrapper("-I -n -P -L -d -a -s -E --max-args --max-procs --delimiter --arg-file"),
}

SHELLS = frozenset({"ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh"})
INTERPRETERS = frozenset(
    {
        "awk",
        "bun",
        "deno",
        "ed",
        "emacs",
        "ex",
        "expect",
        "gawk",
        "gdb",
        "guile",
        "irb",
        "java",
        "jshell",
        "julia",
        "lua",
    }
    | {
        "luajit",
        "m4",
        "mawk",
        "nawk",
        "nodejs",
        "node",
        "nvim",
        "osascript",
        "perl",
        "php",
        "pwsh",
        "pypy",
        "python",
        "r",
    }
    | {"rscript", "ruby", "sed", "sqlite", "mysql", "psql", "tclsh", "vi", "vim", "wish"}
)
_CODE_OPTIONS = re.compile(r"-[A-Za-z]*[ceErpBR]|--(?:eval|command|print|execute|run|expression)(?:=.*)?", re.DOTALL)
_STREAM = re.compile(r"-|/dev/(?:stdin|fd/.*)|/proc/.*")


def program_name(word: str) -> str:
    """`/usr/bin/python3.11` is python: the name without folder and version."""
    name = word.rsplit("/", 1)[-1]
    return _VERSION.sub("", name).rstrip("-") or name


def wrapped_command(argv: Argv) -> Argv | None:
    """The command that a wrapper runs, as far as its options are known; None where there is none."""
    wrapper = WRAPPERS.get(program_name(argv[0] or ""))
    if wrapper is None:
        return None
    position, operands = 1, wrapper.operands
    while position < len(argv):
        word = argv[position]
        if word is None:
            break
        if word.startswith("-") and len(word) > 1:
            position += 2 if word in wrapper.valued else 1
        elif _ASSIGNMENT.fullmatch(word):
            position += 1
        elif operands:
            position, operands = position + 1, operands - 1
        else:
            break
    return argv[position:] or None


def found_commands(argv: Argv) -> list[Argv]:
    """The commands that `find` runs."""
    commands: list[Argv] = []
    for start, word in enumerate(argv):
        if word in {"-exec", "-execdir", "-ok", "-okdir"}:
            ends = [end for end in range(start + 1, len(argv)) if argv[end] in {";", "+"}]
            if command := argv[start + 1 : ends[0] if ends else len(argv)]:
                commands.append(command)
    return commands


def shell_script(argv: Argv) -> tuple[bool, str | None]:
    """Whether the command hands code to a shell in the line itself, and that code where it can be read."""
    name, arguments = program_name(argv[0] or ""), argv[1:]
    if name in SHELLS:
        return _shell_code(arguments)
    if name in INTERPRETERS:
        return _runs_inline(arguments), None
    return _builtin_code(name, arguments)


def _builtin_code(name: str, arguments: Argv) -> tuple[bool, str | None]:
    match name:
        case "eval":
            return True, None if None in arguments else " ".join(filter(None, arguments))
        case "alias":
            return bool(arguments), _behind_equals(arguments)
        case "trap":
            return bool(arguments), _first(arguments)
        case "source" | ".":
            return _STREAM.fullmatch(_first(arguments) or "-") is not None, None
        case "su" | "script":
            return "-c" in arguments, _behind(arguments, "-c")
        case _:
            return False, None


def _shell_code(arguments: Argv) -> tuple[bool, str | None]:
    for position, word in enumerate(arguments):
        if word is None:
            return True, None
        if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", word):
            return True, next((later for later in arguments[position + 1 :] if not (later or "").startswith("-")), None)
        if not word.startswith(("-", "+")):
            return bool(_STREAM.fullmatch(word)), None  # a file is no part of the line
    return "--version" not in arguments, None  # it reads its standard input


def _runs_inline(arguments: Argv) -> bool:
    """Whether an interpreter gets its code from the line: an option that carries code, or its standard input."""
    if any(word is None or _CODE_OPTIONS.fullmatch(word) or _STREAM.fullmatch(word) for word in arguments):
        return True
    return all((word or "").startswith("-") and word != "--version" for word in arguments)


def _first(words: Sequence[str | None]) -> str | None:
    return next((word for word in words if word != "--"), None)


def _behind(words: Sequence[str | None], option: str) -> str | None:
    return next((words[place + 1] for place, word in enumerate(words[:-1]) if word == option), None)


def _behind_equals(words: Sequence[str | None]) -> str | None:
    return None if None in words else "\n".join((word or "").partition("=")[2] for word in words)
