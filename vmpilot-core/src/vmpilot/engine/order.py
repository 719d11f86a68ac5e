"""Lets tool calls run side by side where that is safe, and one after the other where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallOrder:
    """Calls enter in the order in which they were made: one that is `alone` waits for all before it, and all behind
    it wait for it."""

    def __init__(self) -> None:
        self._barrier: asyncio.Future[None] | None = None
        self._side_by_side: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def turn_of(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait for this call's turn; the place in the order is taken at once."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = [] if self._barrier is None else [self._barrier]
        if alone:
            before += self._side_by_side
            self._barrier, self._side_by_side = mine, []
        else:
            self._side_by_side.append(mine)
        try:
            if before:
                await asyncio.wait(before)
            yield
        finally:
            mine.set_result(None)
