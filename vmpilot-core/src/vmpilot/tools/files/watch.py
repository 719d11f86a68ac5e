"""Work on files in a thread, that a cancelled call stops: it never goes on behind the back of who called it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The call was cancelled; raised in its thread only."""


class Watch:
    """What work in a thread looks at from time to time: whether it is to stop, and whether its time is over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._stop = threading.Event()

    def stop(self) -> None:
        """The work is not wanted any more."""
        self._stop.set()

    def check(self) -> None:
        """Raises `Stopped` where the work is not wanted any more."""
        if self._stop.is_set():
            raise Stopped

    @property
    def is_over(self) -> bool:
        """Whether the time is over. Raises `Stopped` as `check` does."""
        self.check()
        return time.monotonic() > self._end


async def run_in_thread(work: Callable[[Watch], T], *, seconds: float = 30.0) -> T:
    """Run `work` in a thread. Cancelled, it tells the work to stop and waits for that; a second time it does not."""
    watch = Watch(seconds)
    task = asyncio.ensure_future(asyncio.to_thread(work, watch))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody else may be there to hear it
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        watch.stop()
        await asyncio.wait([task])
        raise
