"""How much memory this process uses while something runs, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

_PROCESS = Path("/proc/self")
_MEGABYTE = 1024


class MemoryGrowth:
    """Starts from the current resident memory; other work in this process counts too, so run nothing else."""

    def __init__(self) -> None:
        gc.collect()
        # Freed memory stays resident and would hide growth of the same size. Only glibc has this function.
        if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
            trim(0)
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")  # resets the peak: see proc(5)
        self._before = _read_kilobytes("VmRSS")

    @property
    def megabytes(self) -> float:
        """How far the peak since then exceeds the start."""
        return (_read_kilobytes("VmHWM") - self._before) / _MEGABYTE


def _read_kilobytes(name: str) -> int:
    status = (_PROCESS / "status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0
