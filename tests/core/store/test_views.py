"""Lists, search, export, forks, cost and audit, in both databases."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

import pytest
from tests.core.store.conftest import Place, notices

from vmpilot.contract import (
    AssistantMessage,
    Event,
    HistoryImported,
    MessageCompleted,
    Notice,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageError,
    UserMessage,
    decode_event,
)
from vmpilot.store import Chat, Command, ConversationStore, Cost
from vmpilot.store._writing import rebuild_views

NOON = datetime(2026, 3, 1, 12).astimezone().timestamp()
DAY = 86_400.0


def turn(
    request: str, *, model: str = "openai/gpt-4o", time: float = NOON, cost: float | None = 0.5, call_id: str = "c1"
) -> tuple[Event, ...]:
    call = ToolCall(call_id, "shell", '{"command": "df -h\\nuptime"}')
    return (
        TurnStarted("?", "t", UserMessage.from_text(request), "litellm", model, time=time),
        MessageCompleted(AssistantMessage("Let me look.", tool_calls=(call,), finish="tool_calls")),
        ToolStarted(call, "$ df -h …", "mode full", time=time + 1, folder="/srv"),
        ToolFinished(ToolResult(call_id, "shell", "/dev/sda1 97% /var\n"), 0.25, exit_code=1, folder="/srv"),
        MessageCompleted(AssistantMessage("The disk is full of journals.")),
        TurnEnded("answered", time + 2, Usage(100, 20, 10, 5), cost),
    )


async def filled(store: ConversationStore, *events: Event) -> str:
    log = await store.create()
    for event in events:
        await log.append(event)
    await log.close()
    return log.conversation_id


async def test_conversations_are_listed(store: ConversationStore) -> None:
    first = await filled(store, *turn("What fills\nthis disk?"), *turn("And now?", model="local", cost=None))
    second = await filled(store, *notices("a"))
    latest, older = await store.list_chats()
    assert (latest.id, latest.title, latest.turns, latest.model, latest.cost) == (second, "", 0, "", 0.0)
    assert older == await store.chat(first[:7])
    assert older == Chat(first, "What fills", older.started, older.touched, 2, "local", 0.5, 1, None, 0)
    assert older.started < older.touched <= latest.started
    assert await store.list_chats(limit=1) == (latest,)


@pytest.mark.parametrize(
    ("request_", "title"),
    [
        ("\n  \n  two\twords \n more", "two words"),
        ("x" * 81, "x" * 79 + "…"),
        ("x" * 80, "x" * 80),
        ("\x1b[31mred\x00\u202e\ud800", "[31mred"),
        ("\x00", ""),
    ],
)
async def test_titles(store: ConversationStore, request_: str, title: str) -> None:
    id_ = await filled(store, *notices("a"), *turn(request_))
    assert (await store.chat(id_)).title == title


async def test_an_imported_history_provides_the_title(store: ConversationStore) -> None:
    history = HistoryImported((AssistantMessage("Hello."), UserMessage.from_text("Earlier"), AssistantMessage("Yes.")))
    id_ = await filled(store, history, *turn("Later"))
    assert (await store.chat(id_)).title == "Earlier"


async def test_renaming(store: ConversationStore) -> None:
    id_ = await filled(store, *turn("Old"))
    renamed = await store.rename(id_[:6], " New\nname")
    assert renamed.title == "New"
    log = await store.open(id_)
    await log.append(*turn("Another"))
    assert (await store.chat(id_)).title == "New"
    assert (await store.rename(id_, "While it is open")).title == "While it is open"
    with pytest.raises(UsageError, match="A title needs at least one visible"):
        await store.rename(id_, " \n\x00")


SPEAKERS = {"fills": "user", "JOURNALS": "assistant", "sda1": "tool", "df": "tool"}


@pytest.mark.parametrize("word", SPEAKERS)
async def test_search_finds_messages_of_every_role(store: ConversationStore, word: str) -> None:
    id_ = await filled(store, *turn("What fills this disk?"))
    await filled(store, *turn("Größe der Zürcher Straße")[:1])
    hits = await store.search(word)
    assert [(hit.conversation_id, hit.speaker, hit.title) for hit in hits] == [
        (id_, SPEAKERS[word], "What fills this disk?")
    ]
    assert word.lower() in hits[0].excerpt.lower()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("grosse strasse", 1),
        ("GRÖSSE", 1),
        ("zur", 1),
        ("urcher", 0),
        ("größe nothing", 0),
        ("磁盘", 1),
        ("盘满", 1),
        ("кот", 1),
        ("bin bash", 1),
        ("/bin/bash", 1),
        ('"; DROP TABLE entries; --', 0),
        ("\x00größe\ud800", 1),
        ("AND", 0),
        ("größe " * 300, 1),
    ],
)
async def test_search_matches_words(store: ConversationStore, words: str, found: int) -> None:
    await filled(store, *turn("Größe der Zu\u0308rcher Straße 磁盘满了 Котов #!/bin/bash")[:1])
    assert len(await store.search(words)) == found


async def test_search_results_are_newest_first_and_limited(store: ConversationStore) -> None:
    id_ = await filled(store, *[event for number in range(9) for event in turn(f"number {number}")[:1]])
    assert [hit.number for hit in await store.search("number", limit=3)] == [9, 8, 7]
    long = await filled(store, *turn(f"{'word ' * 200}needle{' word' * 200}")[:1])
    (hit,) = await store.search("needle")
    assert hit.conversation_id == long != id_
    assert len(hit.excerpt) < 170
    assert hit.excerpt.startswith("…")
    assert "needle" in hit.excerpt


async def test_an_empty_search_is_an_error(store: ConversationStore) -> None:
    with pytest.raises(UsageError, match="Nothing to search for"):
        await store.search("?!")


async def test_a_fork_leaves_the_original_unchanged(store: ConversationStore) -> None:
    old = await filled(store, *turn("First"), *turn("Second", call_id="c2"))
    before = (await store.chat(old), await store.events(old))
    whole, cut = await store.fork(old), await store.fork(old, at=1)
    assert (whole.title, whole.turns, whole.inherited, whole.origin) == ("First", 2, 12, old)
    assert (cut.title, cut.turns, cut.inherited, cut.model) == ("First", 1, 6, "openai/gpt-4o")
    assert await store.events(whole.id) == before[1]
    assert await store.events(cut.id) == before[1][:6]
    log = await store.open(cut.id)
    await log.append(*turn("Elsewhere", call_id="c3"))
    assert (await store.chat(old), await store.events(old)) == before
    assert await log.read() == (*before[1][:6], *turn("Elsewhere", call_id="c3"))
    assert await store.latest() == cut.id


@pytest.mark.parametrize("at", [0, -1, 2, 99])
async def test_a_fork_requires_an_existing_turn(store: ConversationStore, at: int) -> None:
    id_ = await filled(store, *turn("Only"))
    with pytest.raises(UsageError, match=r"has no turn .*; its last one is turn 1"):
        await store.fork(id_, at=at)
    assert len(await store.list_chats()) == 1


async def test_entries_copied_by_a_fork_are_counted_once(store: ConversationStore) -> None:
    old = await filled(store, *turn("Needle"))
    fork = await store.fork(old)
    log = await store.open(fork.id)
    await log.append(*turn("Own", call_id="c2", time=NOON + 9))
    assert [cost.turns for cost in await store.costs("day")] == [2]
    assert [command.conversation_id for command in await store.audit()] == [old, fork.id]
    assert [hit.conversation_id for hit in await store.search("needle")] == [old]
    await store.delete(old)
    assert [hit.conversation_id for hit in await store.search("needle")] == [fork.id]


async def test_deleting(store: ConversationStore, other: ConversationStore, place: Place) -> None:
    kept, gone = await filled(store, *turn("Kept")), await filled(store, *turn("Gone zanzibar"))
    log = await other.open(gone)
    with pytest.raises(UsageError, match=f"Conversation {gone} is in use by process"):
        await store.delete(gone)
    await log.close()
    assert (await store.delete(gone[:8])).title == "Gone zanzibar"
    assert [chat.id for chat in await store.list_chats()] == [kept]
    assert await store.search("zanzibar") == ()
    assert [command.conversation_id for command in await store.audit()] == [kept]
    assert len(await store.search("disk")) == 1
    if place.url is None:
        assert not list((place.folder / "locks").glob(f"{gone}*"))
        assert not [path for path in place.folder.glob("*") if path.is_file() and b"zanzibar" in path.read_bytes()]


async def test_a_conversation_in_use_cannot_be_deleted(store: ConversationStore, other: ConversationStore) -> None:
    id_ = await filled(store, *turn("Gone"))
    await store.delete(id_)
    with pytest.raises(UsageError, match="There is no conversation"):
        await other.open(id_)


async def test_export_and_import(store: ConversationStore) -> None:
    events = (*turn("Take me \ud800 away"), Notice("\x00"))
    id_ = await filled(store, *events)
    await store.rename(id_, "Named")
    exported = await store.export(id_)
    assert exported.isascii()
    chat = await store.chat(id_)
    document = json.loads(exported)
    assert document | {"events": []} == {
        "vmpilot_conversation": 1,
        "wire_version": 1,
        "id": id_,
        "title": "Named",
        "started": chat.started,
        "touched": chat.touched,
        "events": [],
    }
    assert [decode_event(json.dumps(event)) for event in document["events"]] == list(events)
    copy = await store.import_document(exported)
    assert copy.id != id_
    assert await store.events(copy.id) == events
    await store.delete(id_)
    back = await store.import_document(exported.encode())
    assert (back.id, back.title, back.turns, back.started, back.touched) == (
        id_,
        "Named",
        1,
        chat.started,
        chat.touched,
    )
    assert await store.audit() == ()
    assert await store.costs() == ()
    assert len(await store.search("take")) == 2
    log = await store.open(id_)
    await log.append(Notice("on"))
    assert await log.read() == (*events, Notice("on"))


GOOD = (
    '{"vmpilot_conversation": 1, "wire_version": 1, "id": "abc", "title": "t", "started": 1, "touched": 2,'
    ' "events": %s}'
)
BAD_DOCUMENTS = {
    "": "invalid JSON",
    "{": "invalid JSON",
    "[" * 100_000: "invalid JSON",
    "[]": "Create one with `vmpilot chats export ID --format json`",
    '{"messages": []}': "Create one with `vmpilot chats export ID --format json`",
    GOOD.replace('conversation": 1', 'conversation": 2') % "[]": "by a newer VMPilot. Upgrade vmpilot-core",
    GOOD.replace('wire_version": 1', 'wire_version": 2') % "[]": "by a newer VMPilot. Upgrade vmpilot-core",
    GOOD.replace('"title": "t", ', "") % "[]": "is damaged: Object missing required field `title`",
    GOOD % "[]": "is empty",
    GOOD % '[{"type": "notice"}]': "is damaged: Object missing required field `text`",
    GOOD % '[{"type": "unheard_of"}]': "is damaged: Invalid value 'unheard_of'",
    GOOD.replace('"touched": 2', '"touched": NaN') % '[{"type": "notice", "text": ""}]': "its times are not numbers",
}


@pytest.mark.parametrize("document", BAD_DOCUMENTS, ids=range(len(BAD_DOCUMENTS)))
async def test_importing_a_foreign_document_changes_nothing(store: ConversationStore, document: str) -> None:
    with pytest.raises(UsageError, match=BAD_DOCUMENTS[document]):
        await store.import_document(document)
    assert await store.list_chats() == ()


@pytest.mark.parametrize("name", ["../../x", "", "A", "x" * 33])
async def test_an_invalid_imported_id_is_rejected(store: ConversationStore, name: str) -> None:
    document = GOOD.replace('"abc"', json.dumps(name)) % '[{"type": "notice", "text": ""}]'
    assert len((await store.import_document(document)).id) == 12


async def test_an_import_from_the_future_does_not_stay_the_latest(store: ConversationStore) -> None:
    document = GOOD.replace('"touched": 2', '"touched": 1e15') % '[{"type": "notice", "text": ""}]'
    await store.import_document(document)
    id_ = await filled(store, *notices("a"))
    assert await store.latest() == id_


async def test_costs(store: ConversationStore) -> None:
    one = await filled(store, *turn("One"), *turn("Two", time=NOON + DAY, model="local", cost=None))
    two = await filled(store, *turn("Three", cost=2.0), *turn("Cut off", time=NOON + DAY)[:3])
    used = Usage(100, 20, 10, 5)
    assert await store.costs() == (
        Cost("2026-03-01", "", 2, used + used, 2.5, 0),
        Cost("2026-03-02", "", 2, used, 0.0, 2),
    )
    assert await store.costs("model") == (
        Cost("local", "", 1, used, 0.0, 1),
        Cost("openai/gpt-4o", "", 3, used + used, 2.5, 1),
    )
    assert await store.costs("conversation") == (
        Cost(two, "Three", 2, used, 2.0, 1),
        Cost(one, "One", 2, used + used, 0.5, 1),
    )
    assert [cost.key for cost in await store.costs(since=NOON + 1)] == ["2026-03-02"]


async def test_audit(store: ConversationStore) -> None:
    other_tool = ToolCall("x", "read_file", "no json")
    events = (*turn("One"), ToolStarted(other_tool, "read /etc/passwd", "the person", time=NOON + 9))
    id_ = await filled(store, *events)
    shell, read = await store.audit()
    assert shell == Command(
        id_, 3, NOON + 1, "shell", "df -h\nuptime", "/srv", "mode full", True, exit_code=1, seconds=0.25, is_error=False
    )
    assert read == Command(
        id_, 7, NOON + 9, "read_file", "read /etc/passwd", None, "the person", False, None, None, is_error=True
    )
    second = await filled(store, *turn("Two", time=NOON + 100))
    assert [command.conversation_id for command in await store.audit(limit=2)] == [id_, second]
    assert [command.number for command in await store.audit(conversation_id=second[:9])] == [3]


async def test_the_views_can_be_rebuilt(store: ConversationStore) -> None:
    old = await filled(store, *turn("First"), *turn("Second", call_id="c2"))
    await store.fork(old, at=1)
    await store.rename(old, "Kept")

    async def seen() -> tuple[object, ...]:
        hits = await store.search("disk")
        return await store.list_chats(), await store.costs("model"), await store.audit(), hits

    def draw() -> None:
        with store.database.writing() as connection:
            rebuild_views(connection, store.database.words)

    before = await seen()
    await store.run(draw)
    assert await seen() == before


async def test_the_search_index_is_consistent(store: ConversationStore, place: Place) -> None:
    for number in range(30):
        id_ = await filled(store, *turn(f"Request {number}"))
        if number % 3 == 0:
            await store.delete(id_)
    assert len(await store.search("request")) == 20
    if place.url is None:
        with sqlite3.connect(place.folder / "conversations.db") as connection:
            connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        connection.close()
