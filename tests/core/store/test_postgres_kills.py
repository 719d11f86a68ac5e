"""PostgreSQL's clients and its server are killed repeatedly at random moments."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

from tests.core.store.conftest import Place, open_when_free, start_writer
from tests.postgres_server import MakeServer, PostgresServer

from vmpilot.contract import Event, Notice, StoreError
from vmpilot.store import ConversationStore

KILLS = 10
ROUNDS = 6


async def test_no_acknowledged_entry_is_lost_when_a_client_is_killed(postgres: PostgresServer, tmp_path: Path) -> None:
    place = Place(tmp_path, postgres.new_database())
    store = place.store()
    log = await store.create()
    await log.append(Notice("begun"))
    await log.close()
    acknowledged = Counter[str]()
    for _ in range(KILLS):
        await (await open_when_free(store, log.conversation_id)).close()
        acknowledged.update(await asyncio.to_thread(kill_writer, place, log.conversation_id))
        stored = Counter(text_of(event) for event in await store.events(log.conversation_id))
        assert acknowledged <= stored
        assert stored.total() <= acknowledged.total() + 1 + KILLS  # written, but not acknowledged before the kill
    await store.close()


def kill_writer(place: Place, name: str) -> list[str]:
    """Kill a process that writes as fast as it can, and return the acknowledged entries."""
    with start_writer(place, name=name, count=1_000_000, size=100) as writer:
        assert writer.stdout is not None
        for _ in range(random.randint(1, 40)):
            first = writer.stdout.readline()
        writer.kill()
        lines = [first, *writer.stdout]
    assert writer.wait() == -signal.SIGKILL
    last = int(lines[-1].split()[1])
    return [f"{number}" + "x" * 100 for number in range(last + 1)]


def text_of(event: Event) -> str:
    assert isinstance(event, Notice)
    return event.text


async def test_no_acknowledged_entry_is_lost_when_the_server_is_killed(make_server: MakeServer, tmp_path: Path) -> None:
    """One process sees the server die many times; its store works again each time, and the log stays in order."""
    server = make_server()
    store = Place(tmp_path, server.new_database()).store()
    log = await store.create()
    acknowledged: list[int] = []
    failed: list[int] = []
    told: list[str] = []
    number = 0
    for _ in range(KILLS):
        moment = asyncio.create_task(asyncio.sleep(random.uniform(0.005, 0.1)))
        moment.add_done_callback(lambda _: server.crash())
        while number not in failed:
            try:
                await log.append(Notice(f"{number}"), Notice(f"{number} again"))
            except StoreError as error:
                failed.append(number)
                told.append(str(error))
            else:
                acknowledged.append(number)
                number += 1
        await moment
        server.start()
        number += 1
    stored = [text_of(event) for event in await log.read()]
    numbers = [int(text) for text in stored[::2]]
    assert stored[1::2] == [f"{number} again" for number in numbers]  # all of an append or nothing
    assert numbers == sorted(set(numbers))
    assert set(acknowledged) <= set(numbers) <= {*acknowledged, *failed}
    assert ["cannot be used: " in error for error in told] == [True] * KILLS
    await log.close()
    await store.close()


async def test_two_stores_recover_after_the_server_was_killed(make_server: MakeServer, tmp_path: Path) -> None:
    """The writer gets its lease back or learns that the other store holds it; never do both write."""
    server = make_server()
    place = Place(tmp_path, server.new_database())
    first, second = place.store(), place.store()
    log = await first.create()
    name = log.conversation_id
    won = Counter[int]()
    for number in range(ROUNDS):
        await log.append(Notice(f"{number}"))
        server.crash()
        server.start()
        outcomes = await asyncio.gather(
            log.append(Notice(f"{number} first")),
            write_once(second, name, f"{number} second"),
            return_exceptions=True,
        )
        won.update(at for at, outcome in enumerate(outcomes) if outcome is None)
        assert None in outcomes, outcomes
        await log.close()
        log = await first.open(name)
    texts = [text_of(event) for event in await first.events(name)]
    assert len(texts) == len(set(texts)) == ROUNDS + won.total()
    await first.close()
    await second.close()


async def write_once(store: ConversationStore, name: str, text: str) -> None:
    log = await store.open(name)
    try:
        await log.append(Notice(text))
    finally:
        await log.close()
