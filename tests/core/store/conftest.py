"""Databases for the store's tests: a fresh SQLite file or a fresh database of a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.postgres_server import PostgresServer, make_server, postgres

from vmpilot.contract import Event, Notice, Secret, UsageError
from vmpilot.store import ConversationLog, ConversationStore

__all__ = ["make_server", "postgres"]


@dataclass(frozen=True, slots=True)
class Place:
    """The database of a store; several stores may share one."""

    folder: Path
    url: str | None

    def store(self) -> ConversationStore:
        return ConversationStore(self.folder, database_url=None if self.url is None else Secret(self.url))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place(tmp_path / "data", None)
    server: PostgresServer = request.getfixturevalue("postgres")
    return Place(tmp_path / "data", server.emptied_database())


@pytest.fixture
async def store(place: Place) -> AsyncIterator[ConversationStore]:
    store = place.store()
    yield store
    await store.close()


@pytest.fixture
async def other(place: Place) -> AsyncIterator[ConversationStore]:
    """Another store on the same database, as a second process would open it."""
    store = place.store()
    yield store
    await store.close()


def notices(*texts: object) -> tuple[Event, ...]:
    return tuple(Notice(str(text)) for text in texts)


WRITER = """
import asyncio, sys
from pathlib import Path
from vmpilot.contract import Notice, Secret, VMPilotError
from vmpilot.store import ConversationStore

async def main(folder, url, name, count, size):
    try:
        store = ConversationStore(Path(folder), database_url=Secret(url) if url else None)
        log = await (store.open(name) if name else store.create())
        for number in range(int(count)):
            await log.append(Notice(f"{number}" + "x" * int(size)))
            print(log.conversation_id, number, flush=True)
        if sys.stdin.readline():
            await log.close()
    except VMPilotError as error:
        print(type(error).__name__, error, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def start_writer(
    place: Place, *, name: str = "", count: int = 1, size: int = 0, before: Sequence[str] = ()
) -> subprocess.Popen[str]:
    where = (os.fspath(place.folder), place.url or "")
    command = [*before, sys.executable, "-c", WRITER, *where, name, str(count), str(size)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_line(writer: subprocess.Popen[str]) -> str:
    assert writer.stdout is not None
    return writer.stdout.readline().strip()


async def open_when_free(store: ConversationStore, name: str) -> ConversationLog:
    """A database server needs a moment to see that a client is dead."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await store.open(name)
            except UsageError:
                assert store.database.place.startswith("The database")
                await asyncio.sleep(0.005)
