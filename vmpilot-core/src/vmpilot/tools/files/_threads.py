"""File work in a thread that stops when its call is canceled."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The call was canceled; raised in its thread only."""


class Watch:
    """Lets work in a thread check whether it was canceled, and whether its time is over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._stop = threading.Event()

    def stop(self) -> None:
        """Cancel the work."""
        self._stop.set()

    def check(self) -> None:
        """Raise `Stopped` if the work was canceled."""
        if self._stop.is_set():
            raise Stopped

    @property
    def is_over(self) -> bool:
        """Whether the time is over. Raises `Stopped` as `check` does."""
        self.check()
        return time.monotonic() > self._end


async def run_in_thread(work: Callable[[Watch], T], *, seconds: float = 30.0) -> T:
    """Run `work` in a thread. When canceled, cancel the work and wait for it; a second cancellation does not wait."""
    watch = Watch(seconds)
    task = asyncio.ensure_future(asyncio.to_thread(work, watch))
    # Retrieve the exception, which nothing else may do after a cancellation, so that asyncio does not log it.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        watch.stop()
        await asyncio.wait([task])
        raise
