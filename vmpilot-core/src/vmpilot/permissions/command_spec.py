"""How a program's arguments are read by what it permits: options, their values, operands. It knows no program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vmpilot.permissions.shell_line import Word

Writes: TypeAlias = Literal["nothing", "operands", "operands behind the texts", "target", "sources and target"]
"""Which operands are files that the program makes or changes."""

UNLIMITED = 1_000_000
"""Operands of a program that takes any number of them."""

_NUMBER = re.compile(r"-\d+")


@dataclass(frozen=True, slots=True)
class Usage:
    """Arguments as the program reads them: names of options without dashes, values with their options, operands."""

    options: frozenset[str]
    values: tuple[tuple[str, str], ...]
    operands: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """What one program may be given. What is not named here is not permitted, whatever it does.

    `short` are options in getopt's notation (`n:` takes a value; `#` permits a number, as in `head -5`). Of `long` ones
    `name:` takes a value, attached or as the next word, `name=` only an attached one; `name` may have one attached.
    `words` are long options with one dash (`find -name:`). `needed` are options without which the program does
    something else, `first` the only words that a first operand may be, `script` what it must look like where it is a
    text, `refused` what no operand may look like. A colon that the program does not mean would hide what follows, and
    one that is missing would move the operands: check its manual.

    `reads_trees` says when it reads all files below its operands, or in those that are folders. It reads what links in
    folders lead to as well unless the option `keeps_links` is given; with an empty one it never does. `harmless`
    programs have no option that writes a file or runs a program, so whatever a wildcard may turn into, they only read.

    Every operand and every value counts as a path, but for the first `texts` operands (with one of the options
    `text_given` none of them) and the values of `text_values`.
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

    def read(self, arguments: Sequence[Word]) -> Usage | None:
        """The arguments as the program reads them; None where one is not permitted."""
        options: set[str] = set()
        values: list[tuple[str, str]] = []
        operands: list[Word] = []
        words = iter(arguments)
        for word in words:
            if not _is_option(word.text):
                operands.append(word)
            elif not self._read_option(word, words, options, values):
                return None
        usage = Usage(frozenset(options), tuple(values), tuple(operands))
        return usage if self._permits_operands(usage) else None

    def count_texts(self, usage: Usage) -> int:
        """How many of the operands, from the first, are text rather than paths."""
        return 0 if self.text_given & usage.options else self.texts

    def reads_below(self, usage: Usage) -> bool:
        """Whether the contents of all files below the operands, or the working folder, are read."""
        recursive = bool({"r", "recursive"} & usage.options)
        return self.reads_trees == "always" or (self.reads_trees == "if recursive" and recursive)

    def follows_links(self, usage: Usage) -> bool:
        """Whether links in folders are followed."""
        return bool(self.keeps_links) and self.keeps_links not in usage.options

    def _permits_operands(self, usage: Usage) -> bool:
        if len(usage.operands) > self.operands or not self.needed <= usage.options:
            return False
        if self.refused and any(self.refused.match(word.text) for word in usage.operands):
            return False
        if self.first and usage.operands and usage.operands[0].text not in self.first:
            return False
        return self.script is None or self._permits_script(self.script, usage)

    def _permits_script(self, script: re.Pattern[str], usage: Usage) -> bool:
        """Whether what the program will run as its script, from options or the first operand, only prints."""
        given = [value for option, value in usage.values if option in self.text_given]
        if self.count_texts(usage) and usage.operands:
            given.append("\0" if usage.operands[0].has_wildcard else usage.operands[0].text)
        return all(script.fullmatch(text) for text in given)

    def _read_option(self, word: Word, rest: Iterator[Word], options: set[str], values: list[tuple[str, str]]) -> bool:
        """Note the option, and its value, which may be the next word. False where it is not permitted."""
        text = word.text
        if word.has_wildcard and "=" not in text:
            return False
        if text.startswith("--"):
            return self._read_long(text[2:], rest, options, values)
        if text in self.words:
            options.add(text[1:])
            return True
        if f"{text}:" in self.words:
            options.add(text[1:])
            return _read_value(text[1:], rest, values)
        if "#" in self.short and _NUMBER.fullmatch(text):
            return True
        return self._read_cluster(text[1:], rest, options, values)

    def _read_long(self, text: str, rest: Iterator[Word], options: set[str], values: list[tuple[str, str]]) -> bool:
        name, equals, value = text.partition("=")
        takes_value = f"{name}:" in self.long
        if not takes_value and name not in self.long and name + equals not in self.long:
            return False
        options.add(name)
        if takes_value and not equals:
            return _read_value(name, rest, values)
        if equals:
            values.append((name, value))
        return True

    def _read_cluster(
        self, letters: str, rest: Iterator[Word], options: set[str], values: list[tuple[str, str]]
    ) -> bool:
        for position, letter in enumerate(letters, 1):
            if letter in ":#" or letter not in self.short:
                return False
            options.add(letter)
            if f"{letter}:" in self.short:
                if position == len(letters):
                    return _read_value(letter, rest, values)
                values.append((letter, letters[position:]))
                return True
        return True


def _is_option(text: str) -> bool:
    return len(text) > 1 and text.startswith("-")


def _read_value(option: str, rest: Iterator[Word], values: list[tuple[str, str]]) -> bool:
    """A value that looks like an option could be one, or hide one: only numbers may."""
    word = next(rest, None)
    if word is None or word.has_wildcard or (word.text.startswith("-") and not _NUMBER.fullmatch(word.text)):
        return False
    values.append((option, word.text))
    return True
