"""The points at which a run writes to disk, found by tracing one; and the effects to inject there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .machine import Machine

_WRITING = (
    "pwrite64,pwritev,pwritev2,write,writev,fsync,fdatasync,sync_file_range,ftruncate,fallocate,"
    "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,sendfile,copy_file_range"
)
_OPENING = "openat"
_OPENED = (".", "conversations.db", "conversations.db-wal", "conversations.db-shm", "locks/schema.lock")
_LINE = re.compile(r"(\d+) +(\w+)\(")


@dataclass(frozen=True)
class Point:
    """A system call of a run: the `number`th of its kind in its thread, not counting opens of other programs' files."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number}"

    def options(self, effect: str, data: Path, *, for_good: bool = False) -> tuple[str, ...]:
        """strace's options that make `effect` happen here, and at all later calls of this kind if `for_good`."""
        places = [part for name in _OPENED for part in ("-P", str(data / name))] if self.call == _OPENING else []
        when = f"{self.number}{'+' if for_good else ''}"
        return (*places, "-e", f"trace={self.call}", "-e", f"inject={self.call}:{effect}:when={when}")


def find_points(machine: Machine, text: str) -> list[Point]:
    """Run once and return the system calls by which the run changes its data folder, and one more of each kind."""
    trace = machine.home / "trace"
    run = machine.run(text, "-y", "-s", "0", "-o", str(trace), "-e", f"trace={_WRITING},{_OPENING}")
    assert (run.code, run.errors) == (0, ""), run
    lines = trace.read_text().splitlines()
    return [*_writes(lines, str(machine.data)), *_openings(lines, machine.data)]


def _writes(lines: Iterable[str], data: str) -> list[Point]:
    """strace counts by thread and by system call, whatever the file."""
    count = Counter[tuple[str, str]]()
    found: set[Point] = set()
    for line in lines:
        if (match := _LINE.match(line)) and match[2] != _OPENING:
            count[match[1], match[2]] += 1
            if data in line:
                found.add(Point(match[2], count[match[1], match[2]]))
    last = {point.call: max(one.number for one in found if one.call == point.call) for point in found}
    found |= {Point(call, number + 1) for call, number in last.items()}
    return sorted(found, key=lambda point: (point.call, point.number))


def _openings(lines: Iterable[str], data: Path) -> list[Point]:
    names = [f'"{data / name}"' for name in _OPENED]
    count = sum(_OPENING in line and any(name in line for name in names) for line in lines)
    return [Point(_OPENING, number) for number in range(1, count + 2)]


def thin_out(points: Sequence[Point], *, many: int, few: int) -> list[Point]:
    """Every `many`th of the writes, of which there are hundreds, and every `few`th of the other calls.

    SQLite writes a page in two calls, so an odd `many` covers both.
    """
    writes = [point for point in points if point.call == "pwrite64"]
    return [*writes[::many], *[point for point in points if point.call != "pwrite64"][::few]]
