"""Runs tool calls concurrently if that is safe, and one after the other if it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallOrder:
    """Calls are decided in the order in which they were made, each after all earlier calls that run alone.

    A decision stays valid: nothing that it depends on, such as the folder, changes before the call runs.
    """

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None
        self._side_by_side: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[CallTurn]:
        """Wait until this call can be decided; its place in the order is reserved at once."""
        before, turn = self._last, CallTurn(self._side_by_side)
        self._last = turn.decided
        try:
            if before is not None:
                await asyncio.wait([before])
            yield turn
        finally:
            turn.end(before)


class CallTurn:
    """The place of one call in the order."""

    def __init__(self, side_by_side: set[asyncio.Future[None]]) -> None:
        self._side_by_side = side_by_side
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def decide(self, *, alone: bool) -> bool:
        """A call that runs `alone` waits for all earlier calls and delays all later ones; others run concurrently.

        Returns whether it had to wait.
        """
        if not alone:
            self._side_by_side.add(self._over)
            self.decided.set_result(None)
            return False
        if not self._side_by_side:
            return False
        await asyncio.wait(tuple(self._side_by_side))
        return True

    def end(self, before: asyncio.Future[None] | None) -> None:
        """The call is over. A call that was canceled while waiting passes its place to the call before it."""
        self._over.set_result(None)
        self._side_by_side.discard(self._over)
        if self.decided.done():
            return
        if before is None or before.done():
            self.decided.set_result(None)
        else:
            before.add_done_callback(lambda _before: self.decided.set_result(None))
