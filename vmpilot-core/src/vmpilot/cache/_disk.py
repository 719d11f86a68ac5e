"""Answers in an SQLite file that only its owner may read; the least recently used ones are evicted.

Nothing in it is ever run or unpickled. Several processes may use it at once.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vmpilot.cache._answer_cache import CacheError, CacheStats

if TYPE_CHECKING:
    import sqlite3

_SCHEMA_VERSION = 1
_SCHEMA = """
DROP TABLE IF EXISTS entries;
DROP TABLE IF EXISTS facts;
CREATE TABLE entries (name TEXT PRIMARY KEY, entry BLOB NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL);
CREATE INDEX entries_used ON entries (used, size);
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO facts VALUES ('hits', 0), ('misses', 0);
"""
_TOO_MANY = """
SELECT rowid FROM (SELECT rowid, sum(size) OVER (ORDER BY used DESC, rowid DESC) AS kept FROM entries) WHERE kept > ?
"""
_ROW = 300
"""The overhead of an entry in bytes, in the table and its indexes."""
_LARGEST_SHARE = 8
"""Maximum size of an entry as a fraction of the limit, so that one entry does not evict all others."""
_KEPT_SHARE = 0.9
"""The fraction of the limit that remains after an eviction, so that not every write evicts."""
_BUSY_SECONDS = 0.5
_FILES = ("answers.db", "answers.db-wal", "answers.db-shm")

Result = TypeVar("Result")


class DiskCache:
    """The cache in its own folder, which is created if missing. `limit` is in bytes."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.place = f"the cache in {folder}"
        self._folder = folder
        self._limit = limit
        self._connection: sqlite3.Connection | None = None
        self._worker: ThreadPoolExecutor | None = None

    async def prepare(self) -> None:
        """See `AnswerCache`."""

    async def get(self, name: str) -> bytes | None:
        """See `AnswerCache`."""
        return await self._run(lambda connection: _look_up(connection, name))

    async def put(self, name: str, entry: bytes) -> None:
        """See `AnswerCache`; an entry larger than an eighth of the limit is not stored."""
        if len(entry) <= self._limit // _LARGEST_SHARE:
            await self._run(lambda connection: _keep(connection, name, entry, limit=self._limit))

    async def stats(self) -> CacheStats:
        """See `AnswerCache`."""
        return await self._run(_count) if self._exists else CacheStats()

    async def clear(self) -> int:
        """See `AnswerCache`; a damaged file, or one on a full disk, is removed and counts as empty."""
        return await self._in_thread(self._clear) if self._exists else 0

    async def close(self) -> None:
        """See `AnswerCache`."""
        if self._worker is not None:
            await self._in_thread(self._disconnect)
            self._worker.shutdown(wait=False)
            self._worker = None

    @property
    def _exists(self) -> bool:
        return (self._folder / _FILES[0]).exists()

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._in_thread(lambda: self._work(work))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Use a separate thread: abandoned work queues there and blocks nothing else."""
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="vmpilot-cache")
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _work(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        import sqlite3

        try:
            if self._connection is None:
                self._connection = _connect(self._folder)
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            fix = "; `vmpilot cache clear` replaces it" if damaged else ""
            raise CacheError(f"{self.place} cannot be used ({_reason(error)}){fix}") from error

    def _clear(self) -> int:
        try:
            return self._work(_delete_all)
        except CacheError as error:
            if not _is_lost(error.__cause__):
                raise
        for name in _FILES:
            (self._folder / name).unlink(missing_ok=True)
        return 0

    def _disconnect(self) -> None:
        import sqlite3

        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _connect(folder: Path) -> sqlite3.Connection:
    """Open the file with the current schema. Raises `sqlite3.Error` and `OSError`."""
    import sqlite3

    _make_private(folder)
    path = folder / _FILES[0]
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)


def _prepare(connection: sqlite3.Connection) -> None:
    """Entries may be lost in a power failure; the file itself stays intact."""
    connection.execute("PRAGMA auto_vacuum = FULL")
    _turn_on_log(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    if _version(connection) != _SCHEMA_VERSION:
        with _transaction(connection):
            if _version(connection) != _SCHEMA_VERSION:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _turn_on_log(connection: sqlite3.Connection) -> None:
    """Let readers run alongside a writer. If several processes enable the log at the same moment, all but one fail."""
    import sqlite3

    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _look_up(connection: sqlite3.Connection, name: str) -> bytes | None:
    import sqlite3

    found = connection.execute("SELECT entry FROM entries WHERE name = ?", (name,)).fetchone()
    with (
        suppress(sqlite3.OperationalError),
        _transaction(connection),
    ):  # a full disk does not invalidate the found entry
        fact = "misses" if found is None else "hits"
        connection.execute("UPDATE facts SET value = value + 1 WHERE name = ?", (fact,))
        connection.execute("UPDATE entries SET used = ? WHERE name = ?", (time.time(), name))
    return found[0] if found is not None and isinstance(found[0], bytes) else None


def _keep(connection: sqlite3.Connection, name: str, entry: bytes, *, limit: int) -> None:
    with _transaction(connection):
        row = (name, entry, len(entry) + _ROW, time.time())
        connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", row)
        if _total(connection) > limit:
            connection.execute(f"DELETE FROM entries WHERE rowid IN ({_TOO_MANY})", (int(limit * _KEPT_SHARE),))  # noqa: S608


def _total(connection: sqlite3.Connection) -> int:
    total: int = connection.execute("SELECT coalesce(sum(size), 0) FROM entries").fetchone()[0]
    return total


def _count(connection: sqlite3.Connection) -> CacheStats:
    entries = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
    facts = dict(connection.execute("SELECT name, value FROM facts").fetchall())
    return CacheStats(entries, _total(connection), facts["hits"], facts["misses"])


def _delete_all(connection: sqlite3.Connection) -> int:
    with _transaction(connection):
        count = connection.execute("DELETE FROM entries").rowcount
        connection.execute("UPDATE facts SET value = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _is_lost(error: BaseException | None) -> bool:
    """Whether the file can only be removed: it is damaged, or there is no space for a change."""
    import sqlite3

    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & 0xFF in {
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
        }  # otherwise locked or similar
    return isinstance(error, sqlite3.DatabaseError)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
