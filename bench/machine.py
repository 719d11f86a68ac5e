"""The machine during the measurements: speed, load, and a folder on a disk."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median


class Machine:
    """Facts that show whether two tables are comparable. Call `look` repeatedly during the measurements."""

    def __init__(self) -> None:
        self._loads: list[float] = []
        self._speeds: list[float] = []

    def look(self) -> None:
        """Record the load, and how long a fixed piece of Python takes."""
        self._loads.append(os.getloadavg()[0])
        self._speeds.append(_time_fixed_work() * 1e3)

    def describe(self) -> dict[str, str]:
        """The facts as text, by name."""
        return {
            "processors": str(os.cpu_count()),
            "Python": platform.python_version(),
            "load": _write_range(self._loads),
            "fixed work, CPU ms": _write_range(self._speeds),
        }


def find_disk() -> Path:
    """A folder for temporary files on a disk: in memory, a commit would cost nothing."""
    for folder in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()):
        if _file_system_of(folder) not in {"tmpfs", "ramfs"}:
            return folder
    sys.exit("Found no folder on a disk. Set TMPDIR to one.")


def _time_fixed_work() -> float:
    # Processors of rented machines are sometimes half as fast; CPU seconds do not show this, but fixed work does.
    started = time.process_time()
    texts: dict[int, str] = {}
    for number in range(100_000):
        texts[number % 1000] = str(number)
    return time.process_time() - started


def _write_range(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})" if values else "unknown"


def _file_system_of(folder: Path) -> str:
    kinds: dict[int, str] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, behind = line.partition(" - ")
        major, minor = fields.split()[2].split(":")
        kinds[os.makedev(int(major), int(minor))] = behind.split()[0]
    return kinds.get(folder.stat().st_dev, "")
