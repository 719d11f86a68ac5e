"""Where a search text that is not in a file was probably meant: the lines most like it, found in bounded time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher

PATIENCE = 0.5
"""Seconds that the search for like lines may take."""

_LIKE = 0.5
_LONGEST = 300


def find_nearest(lines: Sequence[str], search: str) -> range | None:
    """The lines (indices) most like those of `search`, None where nothing is like it."""
    wanted = [line.strip() for line in search.strip("\n").split("\n")]
    present = [line.strip() for line in lines]
    start = _find_by_equal_lines(present, wanted)
    if start is None:
        start = _find_by_like_line(present, wanted)
    if start is None:
        return None
    start = max(0, min(start, len(lines) - 1))
    return range(start, min(len(lines), start + len(wanted)))


def _find_by_equal_lines(present: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The start at which most of the wanted lines are just where they ought to be; rare and long lines count more."""
    places = {line: list[int]() for line in wanted if line}
    for index, line in enumerate(present):
        if line in places:
            places[line].append(index)
    votes: defaultdict[int, float] = defaultdict(float)
    for offset, line in enumerate(wanted):
        found = places.get(line, [])
        for index in found[:1_000]:
            votes[index - offset] += len(line) / len(found)
    return min(votes, key=lambda start: (-votes[start], start)) if votes else None


def _find_by_like_line(present: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The start by the line that is most like the longest wanted one."""
    offset = max(range(len(wanted)), key=lambda index: len(wanted[index]))
    matcher = SequenceMatcher(b=wanted[offset][:_LONGEST], autojunk=False)
    best, place, end = _LIKE, None, time.monotonic() + PATIENCE
    for index, line in enumerate(present):
        if not line:
            continue
        if time.monotonic() > end:
            break
        matcher.set_seq1(line[:_LONGEST])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, place = ratio, index - offset
    return place
