"""How much memory this process takes while something runs, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

_PROCESS = Path("/proc/self")
_MEGABYTE = 1024


class MemoryGrowth:
    """Begins with the memory that is resident now; other work of the same process counts, so let there be none."""

    def __init__(self) -> None:
        gc.collect()
        # What was freed before stays resident, and would hide as much growth. Only glibc has this function.
        if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
            trim(0)
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")  # proc(5): the peak begins anew
        self._before = _read_kilobytes("VmRSS")

    @property
    def megabytes(self) -> float:
        """What the peak since then was above it."""
        return (_read_kilobytes("VmHWM") - self._before) / _MEGABYTE


def _read_kilobytes(name: str) -> int:
    status = (_PROCESS / "status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0
