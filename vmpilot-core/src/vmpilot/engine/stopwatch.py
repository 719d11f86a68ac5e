"""The time that a turn takes, excluding time spent waiting for the user's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from `start` to `stop`, except while `paused`. Each call of `call_at` is made once."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, Callable[[], None]]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._passed = 0.0
        self._since: float | None = None
        self._started = False
        self._pauses = 0

    @property
    def seconds(self) -> float:
        """The elapsed seconds."""
        return self._passed + (0.0 if self._since is None else asyncio.get_running_loop().time() - self._since)

    def call_at(self, seconds: float, call: Callable[[], None]) -> None:
        """Make this call after this many seconds. Must be called before `start`."""
        self._calls.append((seconds, call))

    def start(self) -> None:
        """Begin."""
        self._started = True
        self._go_on()

    def stop(self) -> None:
        """Stop for good."""
        self._started = False
        self._halt()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause within this context; several may overlap."""
        self._pauses += 1
        self._halt()
        try:
            yield
        finally:
            self._pauses -= 1
            self._go_on()

    def _go_on(self) -> None:
        if not self._started or self._pauses:
            return
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        self._timers = [loop.call_later(call[0] - self._passed, self._make, call) for call in self._calls]

    def _make(self, call: tuple[float, Callable[[], None]]) -> None:
        self._calls.remove(call)
        call[1]()

    def _halt(self) -> None:
        self._passed, self._since = self.seconds, None
        for timer in self._timers:
            timer.cancel()
        self._timers = []
