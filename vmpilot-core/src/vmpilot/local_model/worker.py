"""Blocking work in a daemon thread that can be left behind: an executor's thread would hold up the program's end."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, TypeVar

from vmpilot.local_model.progress import Progress

T = TypeVar("T")


class WorkAbandonedError(Exception):
    """Nobody waits for this work any more."""


class Guard:
    """Lets a worker touch files and report only while its caller still waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._abandoned = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold off the caller's leaving for one short step; raise `WorkAbandonedError` when it has left."""
        with self._lock:
            if self._abandoned:
                raise WorkAbandonedError
            yield

    def report(self, progress: Callable[[Progress], None], value: Progress) -> None:
        """Call `progress` in the event loop's thread."""
        with self.step():
            self._loop.call_soon_threadsafe(progress, value)

    def abandon(self) -> None:
        """After this returns the worker changes nothing any more."""
        with self._lock:
            self._abandoned = True


class _Outcome(Generic[T]):
    """Carries what a worker returned or raised into the event loop."""

    def __init__(self, guard: Guard) -> None:
        self._loop = asyncio.get_running_loop()
        self._guard = guard
        self.future: asyncio.Future[T] = self._loop.create_future()

    def __enter__(self) -> "_Outcome[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._post(self._fail, error)
        return True

    def succeed(self, value: T) -> None:
        """Hand over the result."""
        self._post(self._settle, value)

    def _post(self, deliver: Callable[..., None], value: object) -> None:
        try:
            with self._guard.step():
                self._loop.call_soon_threadsafe(deliver, value)
        except WorkAbandonedError:
            return

    def _settle(self, value: T) -> None:
        if not self.future.done():
            self.future.set_result(value)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


async def run_abandonable(work: Callable[[Guard], T]) -> T:
    """Run `work` in a thread of its own; a cancelled caller leaves at once, and the work stops at its next step."""
    guard = Guard(asyncio.get_running_loop())
    outcome: _Outcome[T] = _Outcome(guard)

    def target() -> None:
        with outcome:
            outcome.succeed(work(guard))

    threading.Thread(target=target, name="vmpilot-local-model", daemon=True).start()
    try:
        return await outcome.future
    finally:
        guard.abandon()
