"""The databases whose growth is measured: an SQLite file, and a PostgreSQL server if one is installed."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmpilot.contract import Secret
from vmpilot.store import ConversationStore


@dataclass(frozen=True, slots=True)
class DatabaseColumn:
    """A column of the table of growth."""

    name: str
    beside: str | None = None
    is_ours: bool = True


SQLITE, POSTGRESQL = DatabaseColumn("SQLite"), DatabaseColumn("PostgreSQL")


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database; `url` is None for SQLite's."""

    name: str
    folder: Path
    url: str | None = None

    def store(self) -> ConversationStore:
        return ConversationStore(self.folder, database_url=None if self.url is None else Secret(self.url))

    def fetch(self, conversation_id: str) -> int:
        """Connect, fetch a conversation's entries with only the driver, and return their number."""
        query = "SELECT body FROM {} WHERE conversation_id = {} ORDER BY number"
        if self.url is None:
            with closing(sqlite3.connect(self.folder / "conversations.db")) as connection:
                return len(connection.execute(query.format("entries", "?"), (conversation_id,)).fetchall())
        import psycopg

        with psycopg.connect(self.url) as session:
            statement = query.format("vmpilot.entries", "%s").encode()
            return len(session.execute(statement, (conversation_id,)).fetchall())


@contextmanager
def open_databases(folder: Path) -> Iterator[tuple[Database, ...]]:
    """The available databases, until the end of the block."""
    sqlite = Database(SQLITE.name, folder / "growth")
    try:
        from tests.postgres_server import PostgresServer
    except ImportError:  # no driver, or no server
        yield (sqlite,)
        return
    place = Path(tempfile.mkdtemp(prefix="vmpilot-bench-", dir=folder.parent))
    server = PostgresServer(place, syncs=True)
    try:
        server.start()
        yield sqlite, Database(POSTGRESQL.name, folder, server.url("postgres"))
    finally:
        server.kill()
        shutil.rmtree(place)
