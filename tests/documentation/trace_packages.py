"""Run `vmpilot` with the given arguments, then print the name of each of its modules in which a function was called."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

from vmpilot.cli import main

called: set[str] = set()
importing = threading.local()


def trace(frame: FrameType, event: str, _: Any) -> None:
    """Ignore calls while a module is imported."""
    if frame.f_code.co_name == "<module>" and event in ("call", "return"):
        importing.depth = getattr(importing, "depth", 0) + (1 if event == "call" else -1)
    elif event == "call" and not getattr(importing, "depth", 0):
        name = frame.f_globals.get("__name__", "")
        if name.startswith("vmpilot"):
            called.add(name)


threading.setprofile(trace)
sys.setprofile(trace)
code = main(sys.argv[1:])
sys.setprofile(None)
print(*sorted(called), sep="\n")
sys.exit(code)
