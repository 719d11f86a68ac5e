"""How a command's arguments are parsed by what is permitted: options, their values, operands. It names no program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vmpilot.permissions.shell_line import Word

Writes: TypeAlias = Literal["nothing", "operands", "operands behind the texts", "target", "sources and target"]
"""Which operands are files that the program makes or changes."""

UNLIMITED = 1_000_000
"""Operands of a program that takes any number of them."""

_NUMBER = re.compile(r"-\d+")


def word_set(text: str) -> frozenset[str]:
    """The words of a table, written as one text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Usage:
    """Arguments as the program parses them: names of options without dashes, values with their options, operands."""

    options: frozenset[str]
    values: tuple[tuple[str, str], ...]
    operands: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """The permitted arguments of one program. Anything that is not named here is not permitted, whatever it does.

    `short` are options in getopt's notation (`n:` takes a value; `#` permits a number, as in `head -5`). Of `long` ones
    `name:` takes a value, attached or as the next word, `name=` only an attached one; `name` may have one attached.
    `words` are long options with one dash (`find -name:`). A wrong colon hides what follows, and a missing one moves
    the operands: check the manual. `needed` are options without which the program does something else, `first` the only
    words that a first operand may be, `script` what it must match if it is text, `refused` what no operand may match.

    `reads_trees` says when it reads all files below its operands, or in those that are folders. It also reads the
    targets of links in folders unless the option `keeps_links` is given; if that is empty, it never does. `harmless`
    programs have no option that writes a file or runs a program, so they only read, whatever a wildcard expands to.

    Every operand and every value counts as a path, except the first `texts` operands (none with one of the options
    `text_given`) and the values of `text_values`.
    """

    short: str = ""
    long: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    operands: int = UNLIMITED
    needed: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()
    script: re.Pattern[str] | None = None
    refused: re.Pattern[str] | None = None
    texts: int = 0
    text_given: frozenset[str] = frozenset()
    text_values: frozenset[str] = frozenset()
    reads_trees: Literal["never", "if recursive", "folders", "always"] = "never"
    keeps_links: str = ""
    harmless: bool = False
    looks_at_machine: bool = False
    runs_hooks: bool = False
    writes: Writes = "nothing"

    def parse(self, arguments: Sequence[Word]) -> Usage | None:
        """The arguments as the program parses them; None if one is not permitted."""
        parser = _Parser(self, iter(arguments))
        if not parser.parse():
            return None
        usage = Usage(frozenset(parser.options), tuple(parser.values), tuple(parser.operands))
        return usage if self._permits_operands(usage) else None

    def count_texts(self, usage: Usage) -> int:
        """How many of the first operands are text, not paths."""
        return 0 if self.text_given & usage.options else self.texts

    def reads_below(self, usage: Usage) -> bool:
        """Whether the contents of all files below the operands, or the working folder, are read."""
        recursive = bool({"r", "recursive"} & usage.options)
        return self.reads_trees == "always" or (self.reads_trees == "if recursive" and recursive)

    def follows_links(self, usage: Usage) -> bool:
        """Whether links in folders are followed."""
        return bool(self.keeps_links) and self.keeps_links not in usage.options

    def _permits_operands(self, usage: Usage) -> bool:
        operands = usage.operands
        if len(operands) > self.operands or not self.needed <= usage.options:
            return False
        if self.refused and any(self.refused.match(word.text) for word in operands):
            return False
        if self.first and operands and operands[0].text not in self.first:
            return False
        if self.script is None:
            return True
        # Scripts, from options or the first operand, must only print.
        given = [value for option, value in usage.values if option in self.text_given]
        if self.count_texts(usage) and operands:
            given.append("\0" if operands[0].has_wildcard else operands[0].text)
        return all(self.script.fullmatch(text) for text in given)


@dataclass(slots=True)
class _Parser:
    """Parses the arguments of one command; its methods return False if one is not permitted."""

    program: Program
    rest: Iterator[Word]
    options: set[str] = field(default_factory=set)
    values: list[tuple[str, str]] = field(default_factory=list)
    operands: list[Word] = field(default_factory=list)

    def parse(self) -> bool:
        for word in self.rest:
            if len(word.text) < 2 or not word.text.startswith("-"):
                self.operands.append(word)
            elif not self._parse_option(word):
                return False
        return True

    def _parse_option(self, word: Word) -> bool:
        text, program = word.text, self.program
        if word.has_wildcard and "=" not in text:
            return False
        if text.startswith("--"):
            name, equals, value = text[2:].partition("=")
            takes_value = f"{name}:" in program.long
            if not takes_value and name not in program.long and name + equals not in program.long:
                return False
            self.options.add(name)
            if equals:
                self.values.append((name, value))
            return not takes_value or bool(equals) or self._parse_value(name)
        if text in program.words or f"{text}:" in program.words:
            self.options.add(text[1:])
            return text in program.words or self._parse_value(text[1:])
        return bool("#" in program.short and _NUMBER.fullmatch(text)) or self._parse_cluster(text[1:])

    def _parse_cluster(self, letters: str) -> bool:
        for position, letter in enumerate(letters, 1):
            if letter in ":#" or letter not in self.program.short:
                return False
            self.options.add(letter)
            if f"{letter}:" in self.program.short:
                if position == len(letters):
                    return self._parse_value(letter)
                self.values.append((letter, letters[position:]))
                return True
        return True

    def _parse_value(self, option: str) -> bool:
        """Take the next word as a value. One that looks like an option could be one: only numbers may."""
        word = next(self.rest, None)
        if word is None or word.has_wildcard or (word.text.startswith("-") and not _NUMBER.fullmatch(word.text)):
            return False
        self.values.append((option, word.text))
        return True
