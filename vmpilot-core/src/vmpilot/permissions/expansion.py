"""Expands a plain word as bash does: alternatives, the home folder, names of files. It only reads folders.

It may give more names than bash, never fewer: a bracket expression matches any character here, because the meaning of
`[a-z]` depends on the locale.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from itertools import islice, product

from vmpilot.permissions.shell_line import Word

NAME_LIMIT = 1_000
"""Names in a folder that a wildcard is compared with."""
ALTERNATIVES_LIMIT = 64
"""Words that braces may expand to."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_HOME = re.compile(r"^~(?=/|$)|\$HOME")
_PLAIN_HOME = re.compile(r"/[\w./@+-]*", re.ASCII)
_GLOB_PART = re.compile(r"\*+|\?|\[[^\]]+\]")


class TooMuch(Exception):
    """A word expands to too much, or to something unknown. The message is a phrase."""


def expand_word(word: Word, home: str) -> list[Word]:
    """The words that braces, `~` and `$HOME` make of one, in bash's order; wildcards stay. Raises `TooMuch`."""
    if not word.has_wildcard:
        return [word]
    words = [_with_home(alternative, home) for alternative in _alternatives(word)]
    if not all(one.text for one in words):  # dropped by the shell, unless there are quotes
        raise TooMuch("Braces expand to an empty word")
    return words


def _alternatives(word: Word) -> list[Word]:
    """Braces with commas, which the lexer only accepts unnested and without quotes in them."""
    pieces: list[list[Word]] = []
    end = 0
    for braces in _BRACES.finditer(word.mask):
        pieces.append([Word(word.text[end : braces.start()], word.mask[end : braces.start()])])
        pieces.append([Word(choice, choice) for choice in braces[1].split(",")])
        end = braces.end()
    pieces.append([Word(word.text[end:], word.mask[end:])])
    found = list(islice(product(*pieces), ALTERNATIVES_LIMIT + 1))
    if len(found) > ALTERNATIVES_LIMIT:
        raise TooMuch("Braces expand to too many words")
    return [Word("".join(one.text for one in parts), "".join(one.mask for one in parts)) for parts in found]


def _with_home(word: Word, home: str) -> Word:
    """An unquoted `$HOME` is split at spaces and used as a pattern, so it must be plain."""
    text, mask, end = "", "", 0
    for place in _HOME.finditer(word.mask):
        if not _PLAIN_HOME.fullmatch(home):
            raise TooMuch("The home folder is unknown, or its name has special characters")
        text += word.text[end : place.start()] + home
        mask += word.mask[end : place.start()] + "_" * len(home)
        end = place.end()
    return Word(text + word.text[end:], mask + word.mask[end:])


def expand_glob(word: Word, folder: str, count: Callable[[int], None]) -> list[str]:
    """The paths that a word with wildcards may match in `folder`.

    `count` gets the number of compared names, and may raise. Raises `TooMuch`.
    """
    found = ["/"] if word.text.startswith("/") else [""]
    end = 0
    for component in re.finditer(r"[^/]+", word.text):
        gap = word.text[end : component.start()] if end else ""
        mask = word.mask[component.start() : component.end()]
        count(len(found))
        found = [
            f"{path}{gap}{name}"
            for path in found
            for name in _names(component[0], mask, _below(folder, path + gap), count)
        ]
        end = component.end()
    rest = word.text[end:]
    return [path + rest for path in found if os.path.lexists(_below(folder, path + rest))]


def _below(folder: str, path: str) -> str:
    return path if path.startswith("/") else f"{folder}/{path}"


def _names(text: str, mask: str, folder: str, count: Callable[[int], None]) -> Iterator[str]:
    """The names in a folder that one part of a path may match."""
    if not _GLOB_PART.search(mask):
        yield text
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, NAME_LIMIT + 1)]
    except (OSError, ValueError):
        return
    if len(names) > NAME_LIMIT:
        raise TooMuch("A wildcard matches too many files")
    count(len(names))
    matches = _pattern(text, mask)
    hidden = text.startswith(".")
    for name in [*names, ".", ".."] if hidden else names:
        if name.startswith(".") == hidden and matches(name):
            yield name


def _pattern(text: str, mask: str) -> Callable[[str], object]:
    """The part of a path as a pattern for fnmatch, which takes linear time; quoted characters are literal."""
    pattern, end = "", 0
    for sign in _GLOB_PART.finditer(mask):
        pattern += re.sub(r"([*?[])", r"[\1]", text[end : sign.start()])
        pattern += "*" if sign[0].startswith("*") else "?"
        end = sign.end()
    pattern += re.sub(r"([*?[])", r"[\1]", text[end:])
    return re.compile(fnmatch.translate(pattern)).match
