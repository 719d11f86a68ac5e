"""The first reader: a strict lexer for plain words, quotes without expansions, a few joints and redirections.

Whatever else there is in a line (expansions, escapes, assignments, comments, groups, control and invisible characters)
makes it unreadable. It is no parser of the shell's language; what it reads, two real ones must read alike.
"""

from __future__ import annotations

import re

from vmpilot.policy.line import LINE_LIMIT, Joint, Line, LineBuilder, Redirection, Word

_JOINT = re.compile(r" *(?:(&&|\|\||\|)[ \n]*|(?:;|\n)[ \n]*)")
_REDIRECTION = re.compile(r"(?:([12]?)(>>|>&|>)|()(&>>|&>|<)) *")
_PLAIN = re.compile(r"(?:[A-Za-z0-9_./,:=@%+*?^-]|(?<=[A-Za-z0-9])~)+")
_SINGLE_QUOTED = re.compile(r"'([^'\n]*)'")
_DOUBLE_QUOTED = re.compile(r'"([^"$`\\!\n]*)"')
_TAME_WILDCARD = re.compile(r"(?:--[a-z-]+=|[^*?-])[^*?]*[*?][^/]*\.[A-Za-z0-9]+")
"""Wildcards in the last part of a path, before an ending: no option and hardly a file of secrets comes of them."""
_BETWEEN = " ;|&\n"


def read_line(line: str) -> Line | None:
    """The line's simple commands, None where it is anything but plain words, joints and simple redirections."""
    if len(line) > LINE_LIMIT or not line.replace("\n", " ").isprintable():
        return None
    line = line.strip(" \n")
    builder, position = LineBuilder(), 0
    while position < len(line):
        if line[position] == " ":
            position += 1
            continue
        end = _read_next(line, position, builder)
        if end is None:
            return None
        position = end
    return builder.finish()


def _read_next(line: str, position: int, builder: LineBuilder) -> int | None:
    """Read one joint, redirection or word into the builder; where it ends, or None where it is none of them."""
    if joint := _JOINT.match(line, position):
        return joint.end() if builder.end_command(_joint(joint)) else None
    if redirection := _REDIRECTION.match(line, position):
        return None if builder.empty else _read_redirection(line, redirection, builder)
    if (found := _read_word(line, position)) is None:
        return None
    word, end = found
    builder.add_word(word)
    return end


def _joint(match: re.Match[str]) -> Joint:
    match match[1]:
        case "&&" | "||" | "|" as joint:
            return joint
        case _:
            return ";"


def _read_redirection(line: str, match: re.Match[str], builder: LineBuilder) -> int | None:
    if (found := _read_word(line, match.end())) is None:
        return None
    word, end = found
    operator = match[2] or match[4]
    if word.has_wildcard or (operator == ">&" and word.mask not in {"1", "2"}):
        return None
    builder.add_redirection(Redirection(match[1] or "", operator, word))
    return end


def _read_word(line: str, start: int) -> tuple[Word, int] | None:
    """The word at `start`, and where it ends; None where it is not plain."""
    text, mask, position = "", "", start
    while position < len(line) and line[position] not in _BETWEEN:
        if plain := _PLAIN.match(line, position):
            text, mask, position = text + plain[0], mask + plain[0], plain.end()
        elif quoted := _SINGLE_QUOTED.match(line, position) or _DOUBLE_QUOTED.match(line, position):
            text, mask, position = text + quoted[1], mask + "_" * len(quoted[1]), quoted.end()
        else:
            return None
    word = Word(text, mask)
    if position == start or mask.count("*") > 2 or (word.has_wildcard and not _TAME_WILDCARD.fullmatch(mask)):
        return None
    return word, position
