"""Conversations in a database: create, find and open them, append events durably and in order, query them.

SQLAlchemy is the largest part of a program's start: the first use imports it, in the store's thread.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vmpilot.contract import Event, Secret, StoreError, UsageError
from vmpilot.providers import paused_gc
from vmpilot.store._records import Chat, Command, Cost, CostBy, Hit

if TYPE_CHECKING:
    from vmpilot.store._chats import Chats
    from vmpilot.store._database import Lock
    from vmpilot.store._opening import AnyDatabase
    from vmpilot.store._writing import Claim

_T = TypeVar("_T")


class ConversationLog:
    """One conversation, open for writing; no other process can write to it until `close`."""

    def __init__(self, store: ConversationStore, lock: Lock, *, claim: Claim, length: int) -> None:
        self.conversation_id = claim.conversation_id
        self._store = store
        self._lock: Lock | None = lock
        self._claim = claim
        self._length = length
        self._sure = True

    async def append(self, *events: Event) -> None:
        """Append the events; when this returns, they survive a crash of the machine.

        A canceled append is still carried out. Raises `StoreError` if the write is not confirmed: then nothing was
        written, unless the connection to a database server broke just when it committed.
        """
        await asyncio.shield(self._store.run(lambda: self._write(events)))

    async def read(self) -> tuple[Event, ...]:
        """All events, oldest first."""
        return await self._store.run(lambda: self._store.chats.events(self.conversation_id))

    async def close(self) -> None:
        """Let others write, after pending appends."""
        await asyncio.shield(self._store.run(self.release))

    def release(self) -> None:
        """Let others write, now; call it in the store's thread."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _write(self, events: Sequence[Event]) -> None:
        from vmpilot.store._writing import append_entries, last_number

        if not events:
            return
        if self._lock is None or not self._lock.is_held():
            raise StoreError(
                f"Conversation {self.conversation_id} is open elsewhere now. Nothing was written. Open it again."
            )
        database = self._store.database
        with database.writing() as connection:
            if not self._sure:
                self._length = max(self._length, last_number(connection, self.conversation_id))
            self._sure = False
            append_entries(connection, database.words, claim=self._claim, number=self._length + 1, events=events)
        self._length += len(events)
        self._sure = True


class ConversationStore:
    """The conversations in one database: an SQLite file below a data folder, or the database at `database_url`.

    All database work runs in the store's own thread, in the order of the calls. A conversation is identified by its id
    or a prefix of it. The first call raises `UsageError` if the folder is not writable, `database_url` is invalid or
    its driver is missing; any call raises `StoreError` if the database cannot be used.
    """

    def __init__(self, folder: Path, *, database_url: Secret | None = None) -> None:
        self._path = folder / "conversations.db"
        self._database_url = database_url
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vmpilot-store")
        self._opened: AnyDatabase | None = None
        self._closed = False

    def run(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """Start work in the store's thread."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def warm_up(self) -> None:
        """Start opening the database, so that the first use waits less; that use raises the errors."""
        self._thread.submit(lambda: self.database)

    async def create(self) -> ConversationLog:
        """A new conversation; it appears in the log with its first event."""
        return await self._take(lambda: self._begin(secrets.token_hex(6)))

    async def open(self, conversation_id: str) -> ConversationLog:
        """Open a conversation to continue it.

        Raises `UsageError` if it does not exist, the prefix is ambiguous, or another process writes to it.
        """
        return await self._take(lambda: self._open(self.chats.find(conversation_id)))

    async def latest(self) -> str:
        """The id of the conversation that was used last. Raises `UsageError` if none exists."""
        return await self.run(lambda: self.chats.latest())  # noqa: PLW0108  `chats` belongs to that thread

    async def find(self, conversation_id: str) -> str:
        """The complete id. Raises `UsageError` if there is no match, or more than one."""
        return await self.run(lambda: self.chats.find(conversation_id))

    async def chat(self, conversation_id: str) -> Chat:
        """One conversation as it appears in a list."""
        return await self.run(lambda: self.chats.chat(self.chats.find(conversation_id)))

    async def list_chats(self, *, limit: int | None = None, failed: bool = False) -> tuple[Chat, ...]:
        """The conversations, most recently used first; with `failed`, also those in which every request failed."""
        return await self.run(lambda: self.chats.list(limit, failed=failed))

    async def events(self, conversation_id: str) -> tuple[Event, ...]:
        """All events of a conversation, even while another process writes to it."""
        return await self.run(lambda: self.chats.events(self.chats.find(conversation_id)))

    async def search(self, words: str, *, limit: int = 50) -> tuple[Hit, ...]:
        """The entries that contain words starting with each of the words, newest first; case and accents are ignored.

        Raises `UsageError` if there is no word to search for.
        """
        return await self.run(lambda: self.chats.search(words, limit))

    async def export(self, conversation_id: str) -> str:
        """The conversation as a JSON document for `import_document`."""
        return await self.run(lambda: self.chats.export(self.chats.find(conversation_id)))

    async def import_document(self, data: str | bytes) -> Chat:
        """Store an exported conversation under its id, or under a new one if that is taken.

        Its turns and commands are not counted in `costs` and `audit`: they happened elsewhere or are counted already.
        Raises `UsageError` if it is not such a document, or is from a newer version.
        """
        return await self.run(lambda: self.chats.import_document(data))

    async def fork(self, conversation_id: str, *, at: int | None = None) -> Chat:
        """A new conversation that starts with all entries of another one, or those of its first `at` turns.

        The original does not change. Raises `UsageError` if it has fewer turns.
        """
        return await self.run(lambda: self.chats.fork(self.chats.find(conversation_id), at))

    async def rename(self, conversation_id: str, title: str) -> Chat:
        """Change a conversation's title, cut to one line of 80 characters. Raises `UsageError` for an empty one."""
        return await self.run(lambda: self.chats.rename(self.chats.find(conversation_id), title))

    async def delete(self, conversation_id: str) -> Chat:
        """Delete a conversation and return its summary. Raises `UsageError` while another process writes to it."""
        return await self.run(lambda: self._delete(self.chats.find(conversation_id)))

    async def costs(self, by: CostBy = "day", *, since: float = 0.0) -> tuple[Cost, ...]:
        """The total cost of the turns that started since a time (seconds since the epoch)."""
        return await self.run(lambda: self.chats.costs(by, since))

    async def audit(self, *, conversation_id: str | None = None, limit: int | None = None) -> tuple[Command, ...]:
        """The last `limit` commands that were started or denied, oldest first."""
        return await self.run(lambda: self.chats.audit(conversation_id, limit))

    async def close(self) -> None:
        """Wait for pending work and close the database."""
        if not self._closed:
            self._closed = True
            await self.run(self._close)
            self._thread.shutdown(wait=False)

    @property
    def database(self) -> AnyDatabase:
        """The open database; in the store's thread."""
        if self._opened is not None and self._opened.is_replaced:
            self._close()
        if self._opened is None:
            with paused_gc():
                from vmpilot.store._opening import open_database

            self._opened = open_database(self._path, self._database_url)
        return self._opened

    @property
    def chats(self) -> Chats:
        """The views; in the store's thread."""
        from vmpilot.store._chats import Chats

        return Chats(self.database)

    async def _take(self, work: Callable[[], ConversationLog]) -> ConversationLog:
        """Open a conversation; close it again if the caller was canceled."""
        opening = self.run(work)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._release)
            raise

    def _release(self, opening: asyncio.Future[ConversationLog]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._thread.submit(opening.result().release)

    def _begin(self, conversation_id: str) -> ConversationLog:
        from vmpilot.store._lease import Holder
        from vmpilot.store._writing import Claim

        lock = self._lock(conversation_id)
        claim = Claim(conversation_id, 1, Holder.this_process())
        return ConversationLog(self, lock, claim=claim, length=0)

    def _open(self, conversation_id: str) -> ConversationLog:
        from vmpilot.store._lease import Holder
        from vmpilot.store._writing import take_lease

        lock = self._lock(conversation_id)
        try:
            # A lease need not survive a power failure: the writers that it excludes do not either.
            with self.database.writing(durable=False) as connection:
                taken = take_lease(connection, conversation_id, Holder.this_process())
            if taken is None:
                raise UsageError(f"Conversation {conversation_id} was deleted a moment ago.")
        except BaseException:
            lock.release()
            raise
        return ConversationLog(self, lock, claim=taken[0], length=taken[1])

    def _lock(self, conversation_id: str) -> Lock:
        lock = self.database.lock(conversation_id)
        if lock is None:
            holder = self.chats.holder(conversation_id)
            raise UsageError(f"Conversation {conversation_id} is in use by {holder}. Wait for it, or start a new one.")
        return lock

    def _delete(self, conversation_id: str) -> Chat:
        log = self._open(conversation_id)
        try:
            return self.chats.delete(conversation_id)
        finally:
            log.release()

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
