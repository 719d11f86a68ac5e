"""PostgreSQL when it is unreachable, stops during work, restarts, or is shared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.core.store.conftest import Place, notices
from tests.postgres_server import MakeServer, PostgresServer

from vmpilot.contract import Notice, Secret, StoreError, UsageError
from vmpilot.store import ConversationStore

PASSWORD = "never-shown"


def shown(error: BaseException | None) -> str:
    """The error and its chain of causes."""
    return "" if error is None else f"{error!r} {error} {shown(error.__cause__)}"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"postgresql://ada:{PASSWORD}@127.0.0.1:1/log", "The database log on 127.0.0.1:1 cannot be used: "),
        (f"postgres://ada:{PASSWORD}@127.0.0.1:1", "The database ada on 127.0.0.1:1 cannot be used: "),
        (f"postgresql://ada:{PASSWORD}@/log?host=/nowhere", "The database log on /nowhere cannot be used: "),
    ],
)
async def test_an_unreachable_server_is_an_error(tmp_path: Path, url: str, place: str) -> None:
    store = ConversationStore(tmp_path / "data", database_url=Secret(url))
    with pytest.raises(StoreError) as caught:
        await store.create()
    assert str(caught.value).startswith(place)
    assert str(caught.value).endswith(". Check that it is running and accepts you, then try again.")
    assert PASSWORD not in shown(caught.value)
    assert not (tmp_path / "data").exists()
    await store.close()


async def test_a_missing_database_is_an_error(postgres: PostgresServer, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path, database_url=Secret(postgres.url("nowhere")))
    with pytest.raises(
        StoreError, match=r'^The database nowhere on /tmp/.* cannot be used: .*"nowhere" does not exist'
    ):
        await store.create()
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        f"mysql://ada:{PASSWORD}@host/log",
        f"postgresql+x://a:{PASSWORD}@b/c",
        f"postgresql://a:{PASSWORD}@b:x/c",
    ],
)
async def test_an_invalid_url_is_an_error(tmp_path: Path, url: str) -> None:
    store = ConversationStore(tmp_path, database_url=Secret(url))
    with pytest.raises(
        UsageError, match=r"Invalid database_url\. Expected postgresql://user:password@host/database"
    ) as caught:
        await store.create()
    assert PASSWORD not in shown(caught.value)
    await store.close()


WITHOUT_DRIVER = """
import asyncio, sys
from pathlib import Path
sys.modules["psycopg"] = None
from vmpilot.contract import Secret, UsageError
from vmpilot.store import ConversationStore

async def main():
    try:
        await ConversationStore(Path("/nowhere"), database_url=Secret("postgresql://a@b/c")).create()
    except UsageError as error:
        print(error)

asyncio.run(main())
"""


def test_a_missing_driver_error_names_the_extra() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT_DRIVER], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("PostgreSQL needs a driver that is not installed. Run `")
    assert "vmpilot-core[postgres]" in ran.stdout


async def test_the_store_recovers_from_a_server_crash(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    place = Place(tmp_path, server.new_database())
    store, other = place.store(), place.store()
    log, idle = await store.create(), await store.create()
    await log.append(*notices("a"))
    await idle.append(*notices("idle"))
    for number in range(2):
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreError, match=f"on {server.folder} cannot be used: ") as caught:
                await log.append(*notices("lost"))
            assert PASSWORD not in shown(caught.value)
        server.start()
        await log.append(*notices(number))
        with pytest.raises(UsageError, match=f"is in use by process {os.getpid()}"):
            await other.open(log.conversation_id)
    assert await log.read() == notices("a", 0, 1)
    await idle.append(*notices("on"))
    assert await idle.read() == notices("idle", "on")
    server.kill()
    await log.close()
    await store.close()
    await other.close()


async def test_a_lease_lost_with_its_session_can_be_acquired(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    place = Place(tmp_path, server.new_database())
    store, other = place.store(), place.store()
    log = await store.create()
    await log.append(*notices("a"))
    server.kill()
    server.start()
    taken = await other.open(log.conversation_id)
    await taken.append(*notices("b"))
    for _ in range(2):
        with pytest.raises(StoreError, match="Nothing was written"):
            await log.append(*notices("lost"))
    await taken.append(*notices("c"))
    assert await other.events(log.conversation_id) == notices("a", "b", "c")
    await store.close()
    await other.close()


SHUTS_DOWN = """
CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON vmpilot.entries DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION end_session()
"""


async def test_a_session_that_ends_during_an_append_writes_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    place = Place(tmp_path, postgres.new_database())
    assert place.url is not None
    store = place.store()
    log = await store.create()
    await log.append(*notices("a"))
    with psycopg.connect(place.url) as session:
        session.execute(SHUTS_DOWN)
    with pytest.raises(StoreError, match="terminating connection due to administrator command"):
        await log.append(*notices("b", "c"))
    with psycopg.connect(place.url) as session:
        session.execute("DROP TRIGGER at_commit ON vmpilot.entries")
    await log.append(*notices("d"))
    assert await log.read() == notices("a", "d")
    await store.close()


async def test_a_commit_whose_reply_was_lost_is_kept_in_order(postgres: PostgresServer, tmp_path: Path) -> None:
    """The connection may break after the server committed and before its reply arrives."""
    place = Place(tmp_path, postgres.new_database())
    assert place.url is not None
    store = place.store()
    log = await store.create()
    await log.append(*notices("a"))
    log._sure = False
    with psycopg.connect(place.url) as session:
        body = '{"type": "notice", "text": "unheard"}'
        session.execute("INSERT INTO vmpilot.entries VALUES (%s, 2, %s)", (log.conversation_id, body))
    await log.append(*notices("b"))
    assert await log.read() == (Notice("a"), Notice("unheard"), Notice("b"))
    await store.close()


async def test_commits_are_durable_even_if_the_server_default_is_not(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as session:
        name = session.info.dbname
        session.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    store = ConversationStore(tmp_path, database_url=Secret(url))
    await store.list_chats()

    def read() -> str:
        with store.database.writing() as connection:
            return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    assert await store.run(read) == "on"
    await store.close()


async def test_many_open_conversations_share_two_sessions(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database()
    store = ConversationStore(tmp_path, database_url=Secret(url))
    logs = [await store.create() for _ in range(60)]
    for log in logs:
        await log.append(*notices("a"))
    with psycopg.connect(url) as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert session.execute(query).fetchone() == (2,)
    await store.close()
