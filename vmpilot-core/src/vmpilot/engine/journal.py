"""The only path by which a turn's events reach the log and the front end, in one order.

If a write fails, its state on disk is unknown: nothing more is written, so that no command starts, and the next turn
reads the log again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from vmpilot.contract import Event, StoreError
from vmpilot.store import ConversationLog


class Journal:
    """Events of one turn: recorded events are durable before they are shown; emitted events are only shown."""

    def __init__(self, log: ConversationLog) -> None:
        self._log = log
        self.recorded: list[Event] = []
        self.failure: StoreError | None = None
        self._held: tuple[Event, ...] = ()
        self._writing = asyncio.Lock()
        self._seen: asyncio.Queue[Event | None] = asyncio.Queue()

    async def record(self, *events: Event) -> None:
        """Write the events to the log, then show them. Raises `StoreError`, and then nothing is shown.

        A canceled record is completed before it raises: events in the log are always in `recorded`, too.
        """
        writing = asyncio.ensure_future(self._write(events))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    def hold(self, event: Event) -> None:
        """Show an event now and write it in the same commit as the next recorded events.

        For a message with tool calls: it has no effect until the start of a call is recorded.
        """
        self._held += (event,)
        self.emit(event)

    @property
    def told(self) -> tuple[Event, ...]:
        """The recorded and held events."""
        return (*self.recorded, *self._held)

    async def _write(self, events: tuple[Event, ...]) -> None:
        async with self._writing:
            if self.failure is not None:
                raise StoreError(str(self.failure))
            held, self._held = self._held, ()
            try:
                await self._log.append(*held, *events)
            except StoreError as error:
                self.failure = error
                raise
            self.recorded += (*held, *events)
        for event in events:
            self.emit(event)

    def emit(self, event: Event) -> None:
        """Show an event that is not recorded."""
        self._seen.put_nowait(event)

    def close(self) -> None:
        """No event follows."""
        self._seen.put_nowait(None)

    async def events(self) -> AsyncIterator[Event]:
        """The recorded and emitted events, until `close`."""
        while (event := await self._seen.get()) is not None:
            yield event
