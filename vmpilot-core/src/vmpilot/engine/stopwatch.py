"""The time that a turn takes, without that in which a person is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from `start` to `stop`, but while it is `paused`. Each call of `call_at` is made once."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, Callable[[], None]]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._passed = 0.0
        self._since: float | None = None
        self._started = False
        self._pauses = 0

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self._passed + (0.0 if self._since is None else asyncio.get_running_loop().time() - self._since)

    def call_at(self, seconds: float, call: Callable[[], None]) -> None:
        """Make this call when it has run for so long. To be said before it starts."""
        self._calls.append((seconds, call))

    def start(self) -> None:
        """Begin."""
        self._started = True
        self._go_on()

    def stop(self) -> None:
        """Stand still for good."""
        self._started = False
        self._halt()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still within this context; several may overlap."""
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
