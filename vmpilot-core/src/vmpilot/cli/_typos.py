"""Detects requests that are probably mistyped commands: a request costs money and acts, so these are not sent."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Sequence

from vmpilot.cli._parser import Parser

_ALIKE = 0.75
"""The `difflib` ratio from which a single word resembles a command."""


def refuse_mistyped_command(root: Parser, words: Sequence[str]) -> None:
    """End the program with exit code 2 if the words of a request look like a command; show how to send them anyway.

    A first word that is one edit away from a command counts as that command if at most one word follows, or if the
    command takes the words after it.
    """
    meant = list(dict.fromkeys(_find_meant(root, words)))
    if meant:
        question = " or ".join(f'"{" ".join(["vmpilot", *command])}"' for command in meant)
        anyway = shlex.join(["vmpilot", "ask", *words])
        root.exit(
            2,
            f"vmpilot: {words[0]!r} is not a command. Did you mean {question}?\n"
            f"To send it as a request: {anyway if anyway.isprintable() else 'vmpilot ask …'}\n",
        )


def _find_meant(root: Parser, words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    first, *rest = [words[0].casefold(), *words[1:]]
    near = [name for name in root.names if is_one_edit(first, name)]
    for name in near:
        fitting = _correct(root.command(name), rest)
        if fitting is not None or len(words) <= 2:
            yield name, *(fitting or ())
    if first in {"help", "version"} and len(rest) <= 1:
        yield *(word for word in rest if word in root.names), f"--{first}"
    elif not near and len(words) <= 2:
        yield from _find_loosely(root, first, rest)


def _find_loosely(root: Parser, first: str, rest: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Commands that resemble the words less closely, or that have an action of that name (`list`, `list chats`)."""
    for name in root.names if not rest else [name for name in rest if name in root.names]:
        if not rest and difflib.SequenceMatcher(None, first, name).ratio() >= _ALIKE:
            yield (name,)
        if " " not in first and first in root.command(name).names:
            yield name, first


def _correct(parser: Parser, words: Sequence[str]) -> tuple[str, ...] | None:
    """The words as the command takes them, allowing one edit in the name of an action; None if they do not fit."""
    if not parser.names:
        return tuple(words) if parser.takes(len(words)) else None
    if not words:
        return ()
    for name, action in parser.commands.items():
        if is_one_edit(words[0].casefold(), name) and (rest := _correct(action, words[1:])) is not None:
            return name, *rest
    return None


def is_one_edit(one: str, other: str) -> bool:
    """Whether they are equal, or differ by one changed, missing or extra letter, or by two swapped neighbors."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return (len(one) <= 1 and len(other) <= 1) or (len(one) == 2 and one == other[::-1])
