"""A shell line as plain words and separators: the values on which its parsers must agree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

Separator: TypeAlias = Literal["", ";", "&&", "||", "|"]
"""The operator before a simple command: nothing before the first one; a line break counts as `;`."""

LINE_LIMIT = 2_000
"""Characters; longer lines are not parsed."""
COMMAND_LIMIT = 20
"""Simple commands in a line."""
WORD_LIMIT = 200
"""Words of a simple command."""


_GLOB = re.compile(r"[*?]|\[[^\]]+\]")
_EXPANSION = re.compile(rf"{_GLOB.pattern}|^~|[{{$]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its quotes; `mask` is the same word with `_` for every quoted character.

    `$HOME` and `${HOME}` are `$HOME` in both, also between double quotes, where the shell expands them, too.
    """

    text: str
    mask: str

    @classmethod
    def quoted(cls, text: str) -> Self:
        """A word that the shell does not expand."""
        return cls(text, "_" * len(text))

    @property
    def is_glob(self) -> bool:
        """Whether the shell may replace it by names of files."""
        return bool(_GLOB.search(self.mask))

    @property
    def has_wildcard(self) -> bool:
        """Whether the shell may replace it by names of files, alternatives, or the home folder."""
        return bool(_EXPANSION.search(self.mask))


HOME = Word("$HOME", "$HOME")


@dataclass(frozen=True, slots=True)
class Redirection:
    """`2>&1` is ("2", ">&", 1): what is redirected ("" for the default), how, and to where."""

    descriptor: str
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """One program with its arguments."""

    separator: Separator
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The words as the program gets them, wildcards unexpanded."""
        return tuple(word.text for word in self.words)


Line: TypeAlias = tuple[SimpleCommand, ...]


class LineBuilder:
    """Builds a line from words, separators and redirections, added in order."""

    def __init__(self) -> None:
        self._commands: list[SimpleCommand] = []
        self._separator: Separator = ""
        self._words: list[Word] = []
        self._redirections: list[Redirection] = []

    def add_word(self, word: Word) -> None:
        """Add a word to the current command."""
        self._words.append(word)

    def add_redirection(self, redirection: Redirection) -> None:
        """Add a redirection to the current command."""
        self._redirections.append(redirection)

    def end_command(self, separator: Separator) -> bool:
        """End the current command; `separator` leads to the next. False if it has no words, or something too many."""
        if not 0 < len(self._words) <= WORD_LIMIT or len(self._commands) >= COMMAND_LIMIT:
            return False
        self._commands.append(SimpleCommand(self._separator, tuple(self._words), tuple(self._redirections)))
        self._separator, self._words, self._redirections = separator, [], []
        return True

    @property
    def empty(self) -> bool:
        """Whether nothing was added since the last separator."""
        return not self._words and not self._redirections

    def finish(self) -> Line | None:
        """The whole line; None if it is empty or too long."""
        if self.empty and self._commands and self._separator == ";":
            return tuple(self._commands)
        return tuple(self._commands) if self.end_command("") else None
