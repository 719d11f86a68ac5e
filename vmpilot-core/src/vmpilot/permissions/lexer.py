"""The first reader: a strict lexer for plain words, quotes without expansions, a few joints and redirections.

Whatever else there is in a line (expansions, escapes, assignments, comments, groups, control and invisible characters)
makes it unreadable. It is no parser of the shell's language; what it reads, two real ones must read alike.
"""

from __future__ import annotations

import re

from vmpilot.permissions.shell_line import HOME, LINE_LIMIT, Line, LineBuilder, Redirection, Separator, Word

_SEPARATOR = re.compile(r" *(?:(&&|\|\||\|)[ \n]*|(?:;|\n)[ \n]*)")
_REDIRECTION = re.compile(r"(?:([12]?)(>>|>&|>)|()(&>>|&>|<)) *")
_END = r"(?=[ ;|&\n]|\Z)"
_PLAIN = re.compile(r"(?:[A-Za-z0-9_./,:=@%+*?^-]|(?<=[A-Za-z0-9])~)+")
_BRACKETS = re.compile(r"\[[!^]?[A-Za-z0-9_.-]+\]")
_BRACES = re.compile(r"\{[A-Za-z0-9_./@%+=^-]*(?:,[A-Za-z0-9_./@%+=^-]*)+\}")
"""Alternatives without anything in them that the shell expands in turn, or quotes."""
_SINGLE_QUOTED = re.compile(r"'([^'\n]*)'")
_DOUBLE_QUOTED = re.compile(r'"((?:[^"$`\\!\n]|\$HOME(?!\w)|\$\{HOME\})*)"')
_HOME = re.compile(r"\$HOME(?![\w{])|\$\{HOME\}")
"""Not before a brace: `$HOME{a,b}` is `$HOMEa $HOMEb` first."""
_WHOLE = re.compile(rf"(?:~(?=/)|~{_END}|(?:!=?|\[\[?|\]\]?){_END})")
"""At the start of a word: the home folder, and the words that make a condition of a command."""
_WILDCARD_LIMIT = 4
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
    """Read one separator, redirection or word into the builder; where it ends, or None where it is none of them."""
    if separator := _SEPARATOR.match(line, position):
        return separator.end() if builder.end_command(_separator(separator)) else None
    if redirection := _REDIRECTION.match(line, position):
        return None if builder.empty else _read_redirection(line, redirection, builder)
    if (found := _read_word(line, position)) is None:
        return None
    word, end = found
    builder.add_word(word)
    return end


def _separator(match: re.Match[str]) -> Separator:
    match match[1]:
        case "&&" | "||" | "|" as separator:
            return separator
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
        if position == start and (whole := _WHOLE.match(line, position)):
            piece, end = Word(whole[0], whole[0]), whole.end()
        elif plain := _PLAIN.match(line, position) or _BRACKETS.match(line, position) or _BRACES.match(line, position):
            piece, end = Word(plain[0], plain[0]), plain.end()
        elif home := _HOME.match(line, position):
            piece, end = HOME, home.end()
        elif quoted := _SINGLE_QUOTED.match(line, position):
            piece, end = Word(quoted[1], "_" * len(quoted[1])), quoted.end()
        elif quoted := _DOUBLE_QUOTED.match(line, position):
            piece, end = _double_quoted(quoted[1]), quoted.end()
        else:
            return None
        text, mask, position = text + piece.text, mask + piece.mask, end
    word = Word(text, mask)
    return None if position == start or mask.count("*") > _WILDCARD_LIMIT else (word, position)


def _double_quoted(inner: str) -> Word:
    plain = re.split(r"\$HOME|\$\{HOME\}", inner)
    return Word("$HOME".join(plain), "$HOME".join("_" * len(piece) for piece in plain))
