"""Which shell lines plainly only read: a check that fails closed, on one strict reading of the line.

Approved are plain words joined by `&&`, `||`, `;` and `|`, of programs in a table of permitted (not forbidden) options.
Expansions, redirections (but to /dev/null), assignments, escapes, hidden files and all that is not understood are not.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from vmpilot.policy.reading_programs import PROGRAMS, READERS_OF_TREES

LINE_LIMIT = 2_000
"""Longer lines are not read at all."""

_JOINT = re.compile(r" *(?:&&|\|\||;|\|) *")
_HARMLESS_REDIRECTION = re.compile(r"(?:2>&1|[12&]?> ?/dev/null)(?=[ ;|&]|$)")
_PLAIN = re.compile(r"[A-Za-z0-9_./,:=@%+*?^-]+")
_SINGLE_QUOTED = re.compile(r"'([^'\x00-\x1f\x7f]*)'")
_DOUBLE_QUOTED = re.compile(r'"([^"$`\\!\x00-\x1f\x7f]*)"')
_WILDCARD = re.compile(r"[*?]")
_NO_WILDCARDS = str.maketrans("*?", "__")
_TAME_WILDCARD = re.compile(r"(?:--[a-z-]+=|[^*?-])[^*?]*[*?][^/]*\.[A-Za-z0-9]+")
"""Wildcards in the last part of a path, before an ending: no option and hardly a file of secrets comes of them."""

_SENSITIVE = re.compile(
    r"(?:^|[/=:])\.(?!\.?(?:/|$))|(?:^|/)dev(?:/|$)(?!null$)"
    r"|(?:^|/)proc(?:/|$)(?!(?:cpuinfo|meminfo|loadavg|uptime|version|mounts)$)"
    r"|environ|shadow|opasswd|htpasswd|id_[a-z0-9]+|\.(?:pem|key|p12|pfx|jks|ppk|gpg|kdbx|keytab|keystore|tfstate)"
    r"|_key(?![a-z])|secret|password|credential|private|token|cookie|wireguard|system-connections|kubeconfig",
    re.IGNORECASE,
)
_SECRET_TREES = re.compile(
    r"\.\.(?:/.*)?|/+(?:(?:etc|run)(?:/.*)?|root|boot|sys|home(?:/[^/]+)?|var(?:/(?:lib|backups))?)?"
)
"""Folders that are not searched through whole: somewhere below them are other people's and the system's secrets."""


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
    pattern = ""
    position = start
    while position < len(line) and line[position] not in " ;|&":
        if plain := _PLAIN.match(line, position):
            pieces.append(plain[0])
            pattern += plain[0]
            position = plain.end()
        elif quoted := _SINGLE_QUOTED.match(line, position) or _DOUBLE_QUOTED.match(line, position):
            pieces.append(quoted[1])
            pattern += quoted[1].translate(_NO_WILDCARDS)
            position = quoted.end()
        else:
            return None
    if position == start or (_WILDCARD.search(pattern) and not _TAME_WILDCARD.fullmatch(pattern)):
        return None
    return "".join(pieces), position


def _is_permitted(command: Sequence[str]) -> bool:
    name, *arguments = command
    program = PROGRAMS.get(name)
    if program is None or not program.permits(arguments):
        return False
    return not any(_SENSITIVE.search(word) for word in arguments) and not _searches_secret_tree(name, arguments)


def _searches_secret_tree(name: str, arguments: Sequence[str]) -> bool:
    """Whether the contents of all files below a folder are read, and it is one that holds secrets somewhere."""
    options = [word for word in arguments if word.startswith("-")]
    recursive = any("r" in word if word[1:2] != "-" else word == "--recursive" for word in options)
    if name not in READERS_OF_TREES or not recursive:
        return False
    return any(_SECRET_TREES.fullmatch(posixpath.normpath(word)) for word in arguments if word)
