"""Matches for the model: the lines are read anew, so that only what was allowed is shown, whatever an engine opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from vmpilot.machine.workspace import open_below, opened_folder, show_name
from vmpilot.tools.files.find_files import describe_unreadable, path_prefix
from vmpilot.tools.files.places import Place
from vmpilot.tools.files.searching import COUNTED, Found
from vmpilot.tools.files.text import show_line

CHARACTERS = 30_000
_LINE = 300
_BEFORE = 100


def show_matches(path: Path, shown: str, found: Found, *, seconds: float) -> str:
    """The matching lines by file, behind their numbers, and what there was. Raises OSError for the path."""
    is_folder = stat.S_ISDIR(path.lstat().st_mode)
    prefix = path_prefix(shown) if is_folder else shown.removesuffix(show_name(path.name))
    lines, matches, room = list[str](), 0, CHARACTERS
    with opened_folder(path if is_folder else path.parent) as folder:
        for line, is_match in _show_files(folder, prefix, found.places):
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
            matches += is_match
    return "\n".join([*lines, _summary(found, shown, matches=matches, seconds=seconds)])


def _show_files(folder: int, prefix: str, places: Sequence[Place]) -> Iterator[tuple[str, bool]]:
    """Each file's name, and its matching lines."""
    for path, matches in groupby(places, key=lambda place: place.path):
        try:
            descriptor, _ = open_below(folder, path)
        except OSError:
            continue
        try:
            yield show_name(f"{prefix}{path}"), False
            for place in matches:
                yield _show_line(descriptor, place), True
        finally:
            os.close(descriptor)


def _show_line(descriptor: int, place: Place) -> str:
    """The line, of a long one the part around the match."""
    skipped = place.column - 1 - _BEFORE if place.column > _LINE else 0
    data = os.pread(descriptor, 4 * _LINE + 1, place.offset + skipped)
    if place.offset and os.pread(descriptor, 1, place.offset - 1) != b"\n":
        return f"{place.line:>5}\t(the file has changed meanwhile)"
    line, end, _ = data.partition(b"\n")
    while skipped and line and line[0] & 0xC0 == 0x80:  # not in the middle of a character
        line = line[1:]
    text = line.removesuffix(b"\r").decode(errors="surrogateescape")
    more = "…" if len(text) > _LINE or (not end and len(data) > 4 * _LINE) else ""
    return f"{place.line:>5}\t{'…' if skipped else ''}{show_line(text[:_LINE])}{more}"


def _summary(found: Found, shown: str, *, matches: int, seconds: float) -> str:
    if not found.count:
        said = [f"nothing found in {shown}"]
    else:
        lines = "1 line" if found.count == 1 else f"{found.count:,} lines"
        files = "1 file" if found.files == 1 else f"{found.files:,} files"
        said = [f"{lines} in {files}"] if not found.is_full else [f"{COUNTED:,} lines and more"]
        if found.count > matches:
            said[0] += f", the first {matches} shown: narrow the pattern, the path or the glob"
    if found.timed_out:
        said.append(
            f"ended after {seconds:g} s, not all was searched: narrow the path or glob, or simplify the pattern"
        )
    said += describe_unreadable(found.unreadable)
    return f"[{'; '.join(said)}]"
