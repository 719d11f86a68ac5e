"""Which shell lines plainly only read: a check that fails closed, on one strict reading of the line.

Approved are plain words joined by `&&`, `||`, `;` and `|`, of programs in a table of permitted (not forbidden) options.
Expansions, redirections (but to /dev/null), assignments, escapes, hidden files and all that is not understood are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vmpilot.policy.reading_programs import PROGRAMS

LINE_LIMIT = 2_000
"""Longer lines are not read at all."""

_JOINT = re.compile(r"\s*(&&|\|\||;|\|)\s*")
_HARMLESS_REDIRECTION = re.compile(r"(?:2>&1|[12&]?> ?/dev/null)(?=[ ;|&]|$)")
_PLAIN = re.compile(r"[A-Za-z0-9_./,:=@%+*?^-]+")
_SINGLE_QUOTED = re.compile(r"'([^'\x00-\x1f\x7f]*)'")
_DOUBLE_QUOTED = re.compile(r'"([^"$`\\!\x00-\x1f\x7f]*)"')
_SENSITIVE = re.compile(
    r"(?:^|[/=:])\.(?!\.?(?:/|$))|(?:^|/)dev(?:/|$)(?!null$)"
    r"|(?:^|/)proc(?:/|$)(?!(?:cpuinfo|meminfo|loadavg|uptime|version|mounts)$)"
    r"|environ|shadow|id_[a-z0-9]+|\.pem|\.key|secret|password|credential|private|token",
    re.IGNORECASE,
)


def plainly_reads(line: str) -> bool:
    """Whether the shell line can only read, as far as this module understands it; False when in doubt."""
    commands = simple_commands(line)
    return commands is not None and all(_is_permitted(command) for command in commands)


def changes_folder(line: str) -> bool:
    """Whether a line that plainly reads may leave the shell in another folder."""
    commands = simple_commands(line)
    return commands is not None and any(command[0] == "cd" for command in commands)


def simple_commands(line: str) -> tuple[tuple[str, ...], ...] | None:
    """The line's simple commands as words, None where the line is anything but plain words and joints."""
    if len(line) > LINE_LIMIT:
        return None
    commands: list[list[str]] = [[]]
    position, line = 0, line.strip(" ")
    while position < len(line):
        if joint := _JOINT.match(line, position):
            commands.append([])
            position = joint.end()
        elif line[position] == " ":
            position += 1
        elif redirection := _HARMLESS_REDIRECTION.match(line, position):
            position = redirection.end()
        elif (word := _read_word(line, position)) is not None:
            text, position = word
            commands[-1].append(text)
        else:
            return None
    if len(commands) > 1 and not commands[-1] and line.endswith(";"):
        commands.pop()
    return tuple(map(tuple, commands)) if all(commands) else None


def _read_word(line: str, start: int) -> tuple[str, int] | None:
    """The word at `start` with its quotes removed, and where it ends; None where it is not plain."""
    pieces: list[str] = []
    position = start
    while position < len(line) and line[position] not in " ;|&":
        if plain := _PLAIN.match(line, position):
            # An expansion that begins with a wildcard could turn a file's name into an option.
            if not pieces and plain[0][0] in "*?":
                return None
            pieces.append(plain[0])
            position = plain.end()
        elif quoted := _SINGLE_QUOTED.match(line, position) or _DOUBLE_QUOTED.match(line, position):
            pieces.append(quoted[1])
            position = quoted.end()
        else:
            return None
    return ("".join(pieces), position) if position > start else None


def _is_permitted(command: Sequence[str]) -> bool:
    program = PROGRAMS.get(command[0])
    if program is None:
        return False
    return program.permits(command[1:]) and not any(_SENSITIVE.search(word) for word in command[1:])
