"""Conversations on disk: create, find and open them; append events durably and in order."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, func, insert, select, update

from vmpilot.contract import Event, UsageError, decode_event, encode_event
from vmpilot.store.database import open_database, store_errors
from vmpilot.store.lease import Lease
from vmpilot.store.schema import conversations, entries

_T = TypeVar("_T")


class ConversationLog:
    """One conversation, opened for writing by nobody else until `close`."""

    def __init__(self, store: ConversationStore, conversation_id: str, *, lease: Lease, length: int) -> None:
        self.conversation_id = conversation_id
        self._store = store
        self._lease = lease
        self._length = length

    async def append(self, *events: Event) -> None:
        """Write the events behind what is there; when this returns they survive a crash of the machine.

        A cancelled append is still carried out. Raises `StoreError`, and then nothing was written.
        """
        await asyncio.shield(self._store.run(lambda: self._write(events)))

    async def read(self) -> tuple[Event, ...]:
        """All events, oldest first."""
        return await self._store.run(lambda: self._store.load(self.conversation_id))

    async def close(self) -> None:
        """Let others write; waits for what is being appended."""
        await asyncio.shield(self._store.run(self.release))

    def release(self) -> None:
        """Let others write, at once."""
        self._lease.release()

    def _write(self, events: Sequence[Event]) -> None:
        if events:
            self._store.save(self.conversation_id, self._length + 1, events)
            self._length += len(events)


class ConversationStore:
    """The conversations below a data folder, in one SQLite file.

    All database work runs in one thread of the store's own, in the order in which it was asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "conversations.db"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vmpilot-store")
        self._opened: Engine | None = None

    def run(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """Start work in the store's thread."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def create(self) -> ConversationLog:
        """A new conversation; it appears in the log with its first event."""
        conversation_id = secrets.token_hex(6)
        return await self._take(lambda: self._open(conversation_id))

    async def open(self, conversation_id: str) -> ConversationLog:
        """The conversation whose id is or begins with `conversation_id`.

        Raises `UsageError` where there is none, where several begin so, or where somebody else writes to it.
        """
        return await self._take(lambda: self._open(self._find(conversation_id)))

    async def latest(self) -> str:
        """The id of the conversation that was used last. Raises `UsageError` where there is none."""
        return await self.run(self._latest)

    async def close(self) -> None:
        """Wait for the work under way and close the file."""
        await self.run(self._close)
        self._thread.shutdown(wait=False)

    async def _take(self, work: Callable[[], ConversationLog]) -> ConversationLog:
        """What `work` opens; where nobody waits for it any more, it is closed again."""
        opening = self.run(work)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_release)
            raise

    def load(self, conversation_id: str) -> tuple[Event, ...]:
        """Read a conversation's events; in the store's thread."""
        query = select(entries.c.body).where(entries.c.conversation_id == conversation_id).order_by(entries.c.number)
        with store_errors(self._path), self._engine.connect() as connection:
            return tuple(decode_event(body) for body in connection.scalars(query))

    def save(self, conversation_id: str, number: int, events: Sequence[Event]) -> None:
        """Write events in one transaction, the first one as entry `number`; in the store's thread."""
        now = time.time()
        rows = [
            {"conversation_id": conversation_id, "number": position, "body": encode_event(event)}
            for position, event in enumerate(events, start=number)
        ]
        with store_errors(self._path), self._engine.begin() as connection:
            if number == 1:
                connection.execute(insert(conversations), {"id": conversation_id, "started": now, "touched": now})
            else:
                touch = update(conversations).where(conversations.c.id == conversation_id)
                connection.execute(touch.values(touched=now))
            connection.execute(insert(entries), rows)

    @property
    def _engine(self) -> Engine:
        if self._opened is None:
            self._opened = open_database(self._path)
        return self._opened

    def _open(self, conversation_id: str) -> ConversationLog:
        engine = self._engine
        path = self._folder / "locks" / f"{conversation_id}.lock"
        lease = Lease.take(path, conversation_id=conversation_id)
        count = select(func.count()).select_from(entries).where(entries.c.conversation_id == conversation_id)
        with store_errors(self._path), engine.connect() as connection:
            return ConversationLog(self, conversation_id, lease=lease, length=connection.execute(count).scalar_one())

    def _find(self, prefix: str) -> str:
        query = select(conversations.c.id).where(conversations.c.id.startswith(prefix, autoescape=True)).limit(3)
        with store_errors(self._path), self._engine.connect() as connection:
            found = [] if not prefix else list(connection.scalars(query))
        if prefix in found or len(found) == 1:
            return prefix if prefix in found else found[0]
        if found:
            raise UsageError(f'several conversations begin with "{prefix}": {", ".join(found)}, …; give more of the id')
        raise UsageError(f'there is no conversation "{prefix}": leave out -r to begin a new one')

    def _latest(self) -> str:
        query = select(conversations.c.id).order_by(conversations.c.touched.desc()).limit(1)
        with store_errors(self._path), self._engine.connect() as connection:
            found: str | None = connection.scalars(query).first()
        if found is None:
            raise UsageError("there is no conversation yet to go on with: leave out -c")
        return found

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.dispose()
            self._opened = None


def _release(opening: asyncio.Future[ConversationLog]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().release()
