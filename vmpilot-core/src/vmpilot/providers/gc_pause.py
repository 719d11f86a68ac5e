"""Python's garbage collector, out of the way while a large library is imported."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_gc() -> Iterator[None]:
    """No collection inside the block: an import makes very many objects and hardly any garbage.

    LiteLLM's takes 2.5 s in place of 4.2 s of CPU time that way, LangChain's three quarters. What was imported is then
    left out of later collections: looking through it again and again cost 8 to 16 ms of each step of a long turn.
    """
    enabled = gc.isenabled()
    known = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:  # else there would be no end of what is left out
            gc.freeze()
        if enabled:
            gc.enable()
