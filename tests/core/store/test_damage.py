"""SQLite files that are damaged, empty, replaced or missing."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.core.store.conftest import notices

from vmpilot.contract import StoreError, TurnStarted, UsageError, UserMessage
from vmpilot.store import ConversationStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ConversationStore]:
    store = ConversationStore(tmp_path / "data")
    yield store
    await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def kept_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("conversations.db.damaged-*"))


async def works(store: ConversationStore) -> bool:
    log = await store.create()
    await log.append(*notices("new"))
    await log.close()
    return await store.events(log.conversation_id) == notices("new")


@pytest.mark.parametrize("content", [b"this is no database at all" * 99, b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_file_that_is_not_a_database_is_set_aside(store: ConversationStore, path: Path, content: bytes) -> None:
    write(path, content)
    with pytest.raises(StoreError) as caught:
        await store.create()
    (kept,) = kept_files(path)
    assert kept.read_bytes() == content
    assert re.fullmatch(
        rf"The conversation log {path} is damaged \(file is not a database\)\. It was moved to {kept}, unchanged; "
        rf'"sqlite3 {kept} \.recover" recovers what is readable\. Try again: a new log will be created\.',
        str(caught.value),
    )
    assert await works(store)
    assert kept_files(path) == [kept]


async def large_log(store: ConversationStore) -> str:
    log = await store.create()
    for number in range(40):
        await log.append(*notices(str(number) * 3000))
    await log.close()
    await store.close()
    return log.conversation_id


def scribble_on(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    pages = [at for at in range(4096, len(content), 4096) if b"39393939" in content[at : at + 4096]]
    content[pages[0] : pages[-1]] = b"\x5a" * (pages[-1] - pages[0])
    path.write_bytes(content)
    return bytes(content)


async def test_a_damaged_page_is_detected_when_it_is_read(store: ConversationStore, path: Path) -> None:
    id_ = await large_log(store)
    damaged = scribble_on(path)
    other = ConversationStore(path.parent)
    with pytest.raises(StoreError, match=r"is damaged \(.*malformed.*moved to"):
        await other.events(id_)
    assert kept_files(path)[0].read_bytes() == damaged
    assert await works(other)
    with pytest.raises(UsageError, match="There is no conversation"):
        await other.open(id_)
    await other.close()


async def test_an_open_conversation_fails_once_its_file_is_damaged(store: ConversationStore, path: Path) -> None:
    log = await store.create()
    await log.append(*notices("a" * 9000))
    await store.run(store.database.clean_up)
    write(path, b"overwritten" * 1000)
    await store.run(store._close)
    with pytest.raises(StoreError, match="moved to"):
        await log.append(*notices("b"))
    with pytest.raises(StoreError, match="was taken over by another process, or deleted"):
        await log.append(*notices("c"))
    assert await works(store)


async def test_a_damaged_search_index_is_rebuilt(store: ConversationStore, path: Path) -> None:
    log = await store.create()
    started = TurnStarted("c", "t", UserMessage.from_text("needle"), "litellm", "m", time=1.0)
    await log.append(started)
    await store.run(store._close)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE words_data SET block = x'ffffffffffffffffffffffff'")
        connection.commit()
    with pytest.raises(StoreError, match=r"The search index in .* was damaged and has been rebuilt. Try again"):
        await store.search("needle")
    assert len(await store.search("needle")) == 1
    await log.append(started)
    assert await log.read() == (started, started)
    assert not kept_files(path)


async def test_an_empty_file_becomes_a_new_log(store: ConversationStore, path: Path) -> None:
    write(path, b"")
    assert await works(store)


async def test_two_damaged_files_in_one_second_are_both_kept(store: ConversationStore, path: Path) -> None:
    for number in range(3):
        write(path, f"damage {number}".encode() * 100)
        with pytest.raises(StoreError, match="moved to"):
            await store.create()
    assert len({kept.read_bytes() for kept in kept_files(path)}) == 3


async def test_a_busy_file_is_not_treated_as_damaged(store: ConversationStore, path: Path) -> None:
    assert await works(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await store.run(lambda: set_patience(store, 10))
        with pytest.raises(StoreError, match="cannot be used: database is locked"):
            await works(store)
        other.execute("ROLLBACK")
    assert await works(store)
    assert not kept_files(path)


def set_patience(store: ConversationStore, milliseconds: int) -> None:
    with store.database.reading() as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")


async def test_a_log_that_was_moved_away_is_recreated(store: ConversationStore, path: Path) -> None:
    """Nothing is acknowledged that was written to a file no longer at its path."""
    log = await store.create()
    await log.append(*notices("a"))
    shutil.rmtree(path.parent)
    with pytest.raises(StoreError, match="was taken over by another process, or deleted"):
        await log.append(*notices("b"))
    assert await store.list_chats() == ()
    assert await works(store)


async def test_the_log_is_readable_by_its_owner_only(store: ConversationStore, path: Path) -> None:
    assert await works(store)
    data = path.parent
    modes = {found.name: found.stat().st_mode & 0o077 for found in (data, *data.rglob("*"))}
    assert "conversations.db" in modes
    assert not any(modes.values()), modes


async def test_acknowledged_entries_are_synced(store: ConversationStore) -> None:
    assert await works(store)

    def read() -> list[object]:
        with store.database.writing() as connection:
            names = ("journal_mode", "synchronous")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]

    assert await store.run(read) == ["wal", 2]
