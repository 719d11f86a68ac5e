"""The conversation log in both databases: order, leases, lookup and durability."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from tests.core.store.conftest import Place, notices

from vmpilot.contract import (
    AssistantMessage,
    Event,
    MessageCompleted,
    StoreError,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageError,
    UserMessage,
)
from vmpilot.store import ConversationStore
from vmpilot.store._schema import conversations, entries


async def numbers(store: ConversationStore) -> list[tuple[str, int]]:
    def read() -> list[tuple[str, int]]:
        with store.database.reading() as connection:
            query = select(entries.c.conversation_id, entries.c.number).order_by(*entries.primary_key)
            return [(id_, number) for id_, number in connection.execute(query)]

    return await store.run(read)


async def test_events_are_read_back_in_order(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a", "b"))
    await asyncio.gather(*(log.append(*notices(number)) for number in range(20)))
    await log.append(TextDelta("end"))
    assert await log.read() == (*notices("a", "b"), *notices(*range(20)), TextDelta("end"))
    assert await numbers(store) == [(log.conversation_id, number) for number in range(1, 24)]


async def test_a_conversation_can_be_continued(store: ConversationStore, other: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    await log.close()
    again = await store.open(log.conversation_id)
    await again.append(*notices("b"))
    await again.close()
    last = await other.open(log.conversation_id)
    await last.append(*notices("c"))
    assert await last.read() == notices("a", "b", "c")
    assert [number for _, number in await numbers(store)] == [1, 2, 3]


async def test_conversations_are_separate(store: ConversationStore) -> None:
    one, two = await store.create(), await store.create()
    await asyncio.gather(*(log.append(*notices(log.conversation_id)) for log in (one, two) for _ in range(5)))
    assert await one.read() == notices(*[one.conversation_id] * 5)
    assert await two.read() == notices(*[two.conversation_id] * 5)


STRANGE = ["\x00", "a\x00b", "\ud800", "\udcff\ud83d", "😀", "\x1b[2J\u2028\r\n", '"\\', "", "%s :x ?", "1e400"]


@pytest.mark.parametrize("text", STRANGE)
async def test_any_text_is_stored_unchanged_in_every_field(store: ConversationStore, text: str) -> None:
    call = ToolCall(text, text, text)
    events = (
        TurnStarted("c", "t", UserMessage.from_text(text), text, text, time=float("inf")),
        MessageCompleted(AssistantMessage(text, text, (call,), provider=text, provider_data={text: text})),
        ToolStarted(call, text, text, time=2.0, folder=text),
        ToolFinished(ToolResult(text, text, text), 0.1, folder=text),
        TurnEnded("answered", float("-inf"), Usage(2**70, -1), cost=float("inf"), error=text),
    )
    log = await store.create()
    await log.append(*events)
    assert await log.read() == events
    assert (await store.import_document(await store.export(log.conversation_id))).turns == 1
    await store.audit()
    await store.costs("model")
    await log.close()
    await store.delete(log.conversation_id)


@given(st.lists(st.text(st.characters(categories=None)), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_is_read_back_unchanged(place: Place, texts: list[str]) -> None:
    events: list[Event] = [TextDelta(text) for text in texts]
    events += [ToolFinished(ToolResult("1", "shell", text), 0.0) for text in texts]

    async def round_trip() -> tuple[Event, ...]:
        store = place.store()
        log = await store.create()
        await log.append(*events)
        found = await log.read()
        await store.close()
        return found

    assert asyncio.run(round_trip()) == tuple(events)


@pytest.mark.parametrize("letter", ["x ", "\ud800"])
async def test_ten_megabytes_are_stored_unchanged(store: ConversationStore, letter: str) -> None:
    event = ToolFinished(ToolResult("1", "shell", letter * (10_000_000 // len(letter))), 0.0)
    log = await store.create()
    await log.append(event)
    assert await log.read() == (event,)


async def test_many_different_words_can_be_indexed(store: ConversationStore) -> None:
    text = " ".join(f"{number:x}{'é' * (number % 90)}" for number in range(200_000))
    log = await store.create()
    await log.append(ToolFinished(ToolResult("1", "shell", text), 0.0))
    assert len(await store.search("1f")) == 1


async def test_appending_nothing_is_allowed(store: ConversationStore) -> None:
    log = await store.create()
    await log.append()
    await log.append(*notices("a"))
    await log.append()
    assert await numbers(store) == [(log.conversation_id, 1)]


async def test_an_empty_conversation_is_not_listed(store: ConversationStore) -> None:
    await (await store.create()).close()
    with pytest.raises(UsageError, match=r"There is no conversation to continue yet\. Run vmpilot without -c"):
        await store.latest()


async def test_a_second_writer_gets_an_error_that_names_the_first(
    store: ConversationStore, other: ConversationStore
) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    for second in (store, other):
        with pytest.raises(
            UsageError,
            match=rf"Conversation {log.conversation_id} is in use by process {os.getpid()} on \S+ since 20.*\. Wait",
        ):
            await second.open(log.conversation_id)
    await log.append(*notices("b"))
    await log.close()
    again = await other.open(log.conversation_id)
    assert await again.read() == notices("a", "b")
    with pytest.raises(StoreError, match="is open elsewhere now"):
        await log.append(*notices("c"))


async def test_a_writer_whose_lease_was_stolen_cannot_commit(
    store: ConversationStore, other: ConversationStore
) -> None:
    log = await store.create()
    await log.append(*notices("a"))

    def steal() -> None:
        with other.database.writing() as connection:
            here = conversations.c.id == log.conversation_id
            connection.execute(update(conversations).where(here).values(lease=conversations.c.lease + 1))

    await other.run(steal)
    for _ in range(2):
        with pytest.raises(StoreError, match="was taken over by another process, or deleted, while it was open here"):
            await log.append(*notices("b"))
    await log.close()
    again = await store.open(log.conversation_id)
    await again.append(*notices("c"))
    assert await again.read() == notices("a", "c")


async def test_a_conversation_is_found_by_the_prefix_of_its_id(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))
    await log.close()
    found = await store.open(log.conversation_id[:5])
    assert found.conversation_id == log.conversation_id
    assert await store.find(log.conversation_id[:5]) == log.conversation_id


DOCUMENT = (
    '{"vmpilot_conversation": 1, "wire_version": 1, "id": "NAME", "title": "t", "started": 1, "touched": 1,'
    ' "events": [{"type": "notice", "text": "a"}]}'
)


async def test_an_exact_id_wins_over_a_longer_one(store: ConversationStore) -> None:
    for name in ("abc", "abcd", "abce", "abcf", "xyz"):
        assert (await store.import_document(DOCUMENT.replace("NAME", name))).id == name
    assert (await store.open("abc")).conversation_id == "abc"
    assert (await store.open("x")).conversation_id == "xyz"
    with pytest.raises(UsageError, match=r'Several conversations begin with "ab": abc, abcd, abce, …\. Use'):
        await store.open("ab")


@pytest.mark.parametrize("name", ["", "nowhere", "%", "_", "a%", "ABC", "../../etc/passwd", "' OR 1=1 --", "\x00", "é"])
async def test_an_unknown_conversation_is_an_error(store: ConversationStore, name: str) -> None:
    await store.import_document(DOCUMENT.replace("NAME", "abc"))
    for asked in (store.open, store.events, store.chat, store.export, store.fork, store.delete):
        with pytest.raises(UsageError, match="There is no conversation"):
            await asked(name)


async def test_the_latest_conversation_is_the_last_one_written_to(store: ConversationStore) -> None:
    one, two = await store.create(), await store.create()
    await one.append(*notices("a"))
    await two.append(*notices("b"))
    assert await store.latest() == two.conversation_id
    await one.append(*notices("c"))
    assert await store.latest() == one.conversation_id


async def test_a_canceled_open_holds_no_lease(store: ConversationStore) -> None:
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
    await store.run(lambda: None)  # earlier requests have completed
    await (await store.open(log.conversation_id)).close()


async def test_a_canceled_append_completes(store: ConversationStore) -> None:
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


async def test_the_store_can_be_used_while_it_warms_up(place: Place) -> None:
    store = place.store()
    store.warm_up()
    await (await store.create()).append(*notices("a"))
    assert len(await store.list_chats()) == 1
    await store.close()


async def test_a_failed_warm_up_is_reported_on_first_use(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    store = ConversationStore(tmp_path / "data")
    store.warm_up()
    with pytest.raises(UsageError, match=r"Cannot write conversations to .*: .*. Make it writable, or set"):
        await store.create()
    await store.close()


async def test_a_failed_append_writes_nothing_and_the_next_one_succeeds(store: ConversationStore) -> None:
    log = await store.create()
    await log.append(*notices("a"))

    def change(*statements: str) -> None:
        with store.database.writing() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    await store.run(lambda: change("ALTER TABLE entries RENAME TO lost"))
    with pytest.raises(StoreError, match=r"cannot be used: .*entries.*then try again"):
        await log.append(*notices("b", "c"))
    await store.run(lambda: change("ALTER TABLE lost RENAME TO entries"))
    await log.append(*notices("d"))
    assert await log.read() == notices("a", "d")
    assert [number for _, number in await numbers(store)] == [1, 2]
