"""Memory growth is measured even when earlier work left freed memory behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from tests.faults.memory import MemoryGrowth
large = bytearray(30_000_000)
del large  # from now on glibc takes blocks of this size from its heap, and keeps what is freed below others
blocks, between = [], []
for _ in range(20):
    blocks.append(b"x" * 8_000_000)
    between.append(bytes(200_000))
del blocks
growth = MemoryGrowth()
again = [b"y" * 7_900_000 for _ in range(20)]
print(growth.megabytes)
"""


def test_freed_memory_does_not_hide_growth() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert float(done.stdout) > 140
