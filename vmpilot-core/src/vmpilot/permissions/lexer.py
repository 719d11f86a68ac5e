"""A strict lexer for plain words, quotes without expansions, a few separators and simple redirections.

Anything else (expansions, escapes, assignments, comments, groups, control and invisible characters) is refused. It is
no parser of the shell's language: shfmt must read the same in what it accepts.
"""

from __future__ import annotations

import re

from vmpilot.contract.invisible import escape_invisible
from vmpilot.permissions.shell_line import HOME, LINE_LIMIT, Line, LineBuilder, Redirection, Separator, Word

_SEPARATOR = re.compile(r" *(?:(&&|\|\||\|)[ \n]*|(?:;|\n)[ \n]*)")
_REDIRECTION = re.compile(r"(?:([12]?)(>>|>&|>)|()(&>>|&>|<)) *")
_END = r"(?=[ ;|&\n]|\Z)"
# Alternatives in braces hold nothing that the shell expands in turn, and no quotes.
_PLAIN = re.compile(
    r"(?:[A-Za-z0-9_./,:=@%+*?^-]|(?<=[A-Za-z0-9])~)+"
    r"|\[[!^]?[A-Za-z0-9_.-]+\]"
    r"|\{[A-Za-z0-9_./@%+=^-]*(?:,[A-Za-z0-9_./@%+=^-]*)+\}"
)
_SINGLE_QUOTED = re.compile(r"'([^'\n]*)'")
_DOUBLE_QUOTED = re.compile(r'"((?:[^"$`\\!\n]|\$HOME(?!\w)|\$\{HOME\})*)"')
_HOME = re.compile(r"\$HOME(?![\w{])|\$\{HOME\}")
"""Not before a brace: `$HOME{a,b}` is `$HOMEa $HOMEb` first."""
_WHOLE = re.compile(rf"(?:~(?=/)|~{_END}|(?:!=?|\[\[?|\]\]?){_END})")
"""At the start of a word: the home folder, and the words that make a condition of a command."""
_WILDCARD_LIMIT = 4
_BETWEEN = " ;|&\n"


def lex_line(line: str) -> Line | None:
    """The line's simple commands, None if it is anything but plain words, separators and simple redirections."""
    if len(line) > LINE_LIMIT or "\t" in line or escape_invisible(line, exact=True) != line:
        return None
    line = line.strip(" \n")
    builder, position = LineBuilder(), 0
    while position < len(line):
        if line[position] == " ":
            position += 1
        elif (end := _lex_next(line, position, builder)) is None:
            return None
        else:
            position = end
    return builder.finish()


def _lex_next(line: str, position: int, builder: LineBuilder) -> int | None:
    """Add one separator, redirection or word to the builder; its end, or None if it is something else."""
    if found := _SEPARATOR.match(line, position):
        separator: Separator = found[1] or ";"  # type: ignore[assignment]
        return found.end() if builder.end_command(separator) else None
    redirection = _REDIRECTION.match(line, position)
    if redirection and builder.empty:
        return None
    if (lexed := _lex_word(line, redirection.end() if redirection else position)) is None:
        return None
    word, end = lexed
    if redirection is None:
        builder.add_word(word)
        return end
    operator = redirection[2] or redirection[4]
    if word.has_wildcard or (operator == ">&" and word.mask not in {"1", "2"}):
        return None
    builder.add_redirection(Redirection(redirection[1] or "", operator, word))
    return end


def _lex_word(line: str, start: int) -> tuple[Word, int] | None:
    """The word at `start`, and its end; None if it is not plain."""
    text, mask, position = "", "", start
    while position < len(line) and line[position] not in _BETWEEN:
        whole = _WHOLE.match(line, position) if position == start else None
        if found := whole or _PLAIN.match(line, position):
            piece = Word(found[0], found[0])
        elif found := _HOME.match(line, position):
            piece = HOME
        elif found := _SINGLE_QUOTED.match(line, position):
            piece = Word.quoted(found[1])
        elif found := _DOUBLE_QUOTED.match(line, position):
            plain = re.split(r"\$HOME|\$\{HOME\}", found[1])
            piece = Word("$HOME".join(plain), "$HOME".join("_" * len(part) for part in plain))
        else:
            return None
        text, mask, position = text + piece.text, mask + piece.mask, found.end()
    return None if position == start or mask.count("*") > _WILDCARD_LIMIT else (Word(text, mask), position)
