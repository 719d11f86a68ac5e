"""The conversation log on a real disk: order, leases, lookup, and what survives."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vmpilot.contract import Event, Notice, StoreError, TextDelta, UsageError
from vmpilot.store import ConversationStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ConversationStore]:
    store = ConversationStore(tmp_path / "data")
    yield store
    await store.close()


def notices(*texts: object) -> tuple[Event, ...]:
    return tuple(Notice(str(text)) for text in texts)


def numbers(folder: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(folder / "data" / "conversations.db") as connection:
        return connection.execute("SELECT conversation_id, number FROM entries ORDER BY 1, 2").fetchall()


async def test_events_come_back_in_order(store: ConversationStore, tmp_path: Path) -> None:
    log = await store.create()
    await log.append(*notices("a", "b"))
    await asyncio.gather(*(log.append(*notices(number)) for number in range(20)))
    await log.append(TextDelta("end"))
    assert await log.read() == (*notices("a", "b"), *notices(*range(20)), TextDelta("end"))
    assert numbers(tmp_path) == [(log.conversation_id, number) for number in range(1, 24)]


async def test_a_conversation_goes_on_where_it_ended(store: ConversationStore, tmp_path: Path) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    await log.close()
    again = await store.open(log.conversation_id)
    await again.append(*notices("b"))
    await again.close()
    other = ConversationStore(tmp_path / "data")
    last = await other.open(log.conversation_id)
    await last.append(*notices("c"))
    assert await last.read() == notices("a", "b", "c")
    assert [number for _, number in numbers(tmp_path)] == [1, 2, 3]
    await other.close()


async def test_conversations_do_not_mix(store: ConversationStore) -> None:
    one, two = await store.create(), await store.create()
    await asyncio.gather(*(log.append(*notices(log.conversation_id)) for log in (one, two) for _ in range(5)))
    assert await one.read() == notices(*[one.conversation_id] * 5)
    assert await two.read() == notices(*[two.conversation_id] * 5)


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "\udcff\ud83d", "😀", "\x1b[2J\u2028\r\n", '"\\', ""])
async def test_any_text_survives(store: ConversationStore, text: str) -> None:
    log = await store.create()
    await log.append(TextDelta(text))
    assert await log.read() == (TextDelta(text),)


async def test_nothing_to_append(store: ConversationStore, tmp_path: Path) -> None:
    log = await store.create()
    await log.append()
    await log.append(*notices("a"))
    await log.append()
    assert numbers(tmp_path) == [(log.conversation_id, 1)]


async def test_an_empty_conversation_does_not_appear(store: ConversationStore) -> None:
    await (await store.create()).close()
    with pytest.raises(UsageError, match="there is no conversation yet to go on with: leave out -c"):
        await store.latest()


async def test_a_second_writer_is_told_who_writes(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    with pytest.raises(UsageError, match=rf"conversation {log.conversation_id} is in use by process \d+: wait for it"):
        await store.open(log.conversation_id)
    await log.append(*notices("b"))
    await log.close()
    again = await store.open(log.conversation_id)
    assert await again.read() == notices("a", "b")


async def test_the_beginning_of_an_id_is_enough(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    await log.close()
    found = await store.open(log.conversation_id[:5])
    assert found.conversation_id == log.conversation_id


async def test_the_whole_id_wins_over_a_longer_one(store: ConversationStore) -> None:
    for name in ("abc", "abcd", "abce", "xyz"):
        await store.run(lambda name=name: store.save(name, 1, notices("a")))  # type: ignore[misc]
    assert (await store.open("abc")).conversation_id == "abc"
    assert (await store.open("x")).conversation_id == "xyz"
    with pytest.raises(UsageError, match='several conversations begin with "ab": abc, abcd, abce, …; give more'):
        await store.open("ab")


@pytest.mark.parametrize("prefix", ["", "nowhere", "%", "_", "a%", "../../etc/passwd", "' OR 1=1 --", "\x00"])
async def test_an_unknown_conversation(store: ConversationStore, prefix: str) -> None:
    await store.run(lambda: store.save("abc", 1, notices("a")))
    with pytest.raises(UsageError, match="there is no conversation"):
        await store.open(prefix)


async def test_the_latest_is_the_one_that_was_written_to_last(store: ConversationStore) -> None:
    one, two = await store.create(), await store.create()
    await one.append(*notices("a"))
    await two.append(*notices("b"))
    assert await store.latest() == two.conversation_id
    await one.append(*notices("c"))
    assert await store.latest() == one.conversation_id


async def test_a_cancelled_opening_holds_nothing(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    await log.close()
    go_on = threading.Event()
    store.run(go_on.wait)
    opening = asyncio.create_task(store.open(log.conversation_id))
    await asyncio.sleep(0)
    opening.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await store.run(lambda: None)  # what was asked for before is done
    await (await store.open(log.conversation_id)).close()


async def test_a_cancelled_append_is_carried_out(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    free = threading.Event()
    blocked = store.run(free.wait)
    appending = asyncio.create_task(log.append(*notices("b")))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    free.set()
    await blocked
    assert await log.read() == notices("a", "b")


async def test_the_log_is_private(store: ConversationStore, tmp_path: Path) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    data = tmp_path / "data"
    modes = {path.name: path.stat().st_mode & 0o077 for path in (data, *data.rglob("*"))}
    assert "conversations.db" in modes
    assert not any(modes.values()), modes


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path / "data")
    await (await store.create()).close()
    await store.close()
    path = tmp_path / "data" / "conversations.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    newer = ConversationStore(tmp_path / "data")
    with pytest.raises(StoreError, match=r"was written by a newer VMPilot \(schema 99\): upgrade vmpilot-core"):
        await newer.create()
    await newer.close()


@pytest.mark.parametrize("content", [b"this is no database at all" * 99, b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_file_that_is_no_log(store: ConversationStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data" / "conversations.db"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"conversations\.db cannot be used: .*mend the file"):
        await store.create()
    assert path.read_bytes() == content


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    store = ConversationStore(tmp_path / "data")
    with pytest.raises(
        UsageError, match=r"cannot write conversations to .*: .*; make it writable, or set VMPILOT_DATA_DIR"
    ):
        await store.create()
    await store.close()


async def test_a_failed_append_writes_nothing(store: ConversationStore, tmp_path: Path) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    with sqlite3.connect(tmp_path / "data" / "conversations.db") as other:
        other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN NEW.number = 3 BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
    with pytest.raises(StoreError, match="cannot be used: no; free space or mend the file, then ask again"):
        await log.append(*notices("b", "c"))
    with sqlite3.connect(tmp_path / "data" / "conversations.db") as other:
        other.execute("DROP TRIGGER refuse")
    await log.append(*notices("d"))
    assert await log.read() == notices("a", "d")
