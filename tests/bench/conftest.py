"""Makes the folder `bench` importable: it is a program beside the distributions, not a part of one."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
