"""Rows of text as aligned columns, cut to the width of a terminal; numbers and times as text."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

from vmpilot.cli._style import printable


def terminal_width() -> int | None:
    """The columns of standard output, None if it is not a terminal."""
    if not sys.stdout.isatty():
        return None
    return os.get_terminal_size(sys.stdout.fileno()).columns or None


def print_table(rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print the rows; columns whose numbers are in `right` are right-aligned. Line feeds become spaces."""
    cells = [[printable(" ".join(cell.split())) for cell in row] for row in rows]
    width = terminal_width()
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    for *row, last in cells:
        padded = [_pad(cell, widths[at], right=at in right) for at, cell in enumerate(row) if widths[at]]
        line = "  ".join([*padded, last]).rstrip()
        print(line if width is None else cut(line, width))


def cut(text: str, width: int) -> str:
    """The text, or its start with an ellipsis if it does not fit."""
    if text_width(text) <= width:
        return text
    kept, used = 0, 1
    for letter in text:
        used += _letter_width(letter)
        if used > width:
            break
        kept += 1
    return f"{text[:kept].rstrip()}…"


def text_width(text: str) -> int:
    """The number of columns that the text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_letter_width, text))


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _pad(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - text_width(cell))
    return space + cell if right else cell + space


def count(number: int, noun: str) -> str:
    """Such as `1 turn` or `1,200 turns`."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def shown_time(seconds: float) -> str:
    """Seconds since the epoch as local time, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
