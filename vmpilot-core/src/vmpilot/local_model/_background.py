"""Blocking work in a daemon thread that can be abandoned: an executor's thread would delay the program's exit."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from vmpilot.local_model._values import Progress

T = TypeVar("T")


class WorkAbandonedError(Exception):
    """The caller no longer waits for this work."""


class Guard:
    """Lets a worker touch files and report only while its caller still waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._abandoned = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Let the caller leave only after one short step; raise `WorkAbandonedError` if it has left."""
        with self._lock:
            if self._abandoned:
                raise WorkAbandonedError
            yield

    def report(self, progress: Callable[[Progress], None], value: Progress) -> None:
        """Call `progress` in the event loop's thread."""
        with self.step():
            self._loop.call_soon_threadsafe(progress, value)

    def abandon(self) -> None:
        """After this returns, the worker changes nothing any more."""
        with self._lock:
            self._abandoned = True


async def run_abandonable(work: Callable[[Guard], T]) -> T:
    """Run `work` in its own thread. A canceled caller leaves at once, and the work stops at its next step."""
    loop = asyncio.get_running_loop()
    guard = Guard(loop)
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, failure: BaseException | None) -> None:
        if future.done():
            return
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # the work's own result

    def run() -> None:
        result, failure = None, None
        try:
            result = work(guard)
        except BaseException as error:  # noqa: BLE001  it is raised again in the event loop
            failure = error
        try:
            with guard.step():
                loop.call_soon_threadsafe(settle, result, failure)
        except WorkAbandonedError:
            return

    threading.Thread(target=run, name="vmpilot-local-model", daemon=True).start()
    try:
        return await future
    finally:
        guard.abandon()
