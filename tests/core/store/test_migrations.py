"""Databases with an older or newer schema, or of another program."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.core.store.conftest import Place
from tests.postgres_server import PostgresServer

from vmpilot.contract import (
    Event,
    Secret,
    StoreError,
    ToolCall,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
    encode_event,
)
from vmpilot.store import ConversationStore
from vmpilot.store._schema import SCHEMA_VERSION, metadata

FIRST_SCHEMA = """
CREATE TABLE conversations (id VARCHAR(32) NOT NULL, started FLOAT NOT NULL, touched FLOAT NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_conversations_touched ON conversations (touched);
CREATE TABLE entries (conversation_id VARCHAR(32) NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (conversation_id, number))
"""

EVENTS: tuple[Event, ...] = (
    TurnStarted("abc", "t", UserMessage.from_text("What fills the disk?\nNow"), "litellm", "gpt-4o", time=1000.0),
    ToolStarted(ToolCall("1", "shell", '{"command": "df"}'), "$ df", "mode full", time=1001.0),
    TurnEnded("answered", 1002.0, cost=0.25),
)


def make_first_file(folder: Path) -> Path:
    """A database as written by the version that used schema 1."""
    folder.mkdir()
    path = folder / "conversations.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; {FIRST_SCHEMA} WITHOUT ROWID; PRAGMA user_version = 1;")
        connection.execute("INSERT INTO conversations VALUES ('abc', 1000.0, 1002.0)")
        rows = [("abc", number, encode_event(event)) for number, event in enumerate(EVENTS, start=1)]
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
        connection.commit()
    return path


@pytest.fixture
async def older(place: Place) -> AsyncIterator[ConversationStore]:
    """A store on a database with schema 1."""
    if place.url is None:
        make_first_file(place.folder)
    else:
        with psycopg.connect(place.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA vmpilot; SET search_path = vmpilot; {FIRST_SCHEMA}".encode())
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            connection.execute("INSERT INTO alembic_version VALUES ('1')")
            connection.execute("INSERT INTO conversations VALUES ('abc', 1000.0, 1002.0)")
            for number, event in enumerate(EVENTS, start=1):
                connection.execute("INSERT INTO entries VALUES ('abc', %s, %s)", (number, encode_event(event)))
    store = place.store()
    yield store
    await store.close()


async def test_an_older_log_is_upgraded_with_all_its_views(older: ConversationStore) -> None:
    log = await older.open("abc")
    assert await log.read() == EVENTS
    (chat,) = await older.list_chats()
    assert (chat.title, chat.turns, chat.model, chat.cost) == ("What fills the disk?", 1, "gpt-4o", 0.25)
    assert [command.command for command in await older.audit()] == ["df"]
    assert [hit.number for hit in await older.search("fills")] == [1]
    await log.append(*EVENTS)
    assert (await older.chat("abc")).turns == 2


async def test_the_migrations_produce_the_schema_of_a_new_database(
    older: ConversationStore, place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await older.list_chats()
    if place.url is None:
        new = ConversationStore(tmp_path / "new")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        new = ConversationStore(tmp_path, database_url=Secret(server.new_database()))
    await new.list_chats()
    assert await older.run(lambda: described(older)) == await new.run(lambda: described(new))
    await new.close()


def described(store: ConversationStore) -> dict[str, object]:
    from sqlalchemy import inspect

    with store.database.reading() as connection:
        found = inspect(connection)
        names = [*metadata.tables, "words_config"] if connection.dialect.name == "sqlite" else list(metadata.tables)
        assert set(names) <= set(found.get_table_names())
        return {
            name: (
                sorted((column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)),
                [(column["name"], column.get("default")) for column in found.get_columns(name)],
                found.get_pk_constraint(name)["constrained_columns"],
                sorted((str(index["name"]), tuple(index["column_names"])) for index in found.get_indexes(name)),
            )
            for name in names
        }


async def test_an_older_file_is_backed_up_before_the_upgrade(tmp_path: Path) -> None:
    path = make_first_file(tmp_path / "data")
    with closing(sqlite3.connect(path)) as connection:
        before = list(connection.iterdump())
    store = ConversationStore(tmp_path / "data")
    await store.list_chats()
    await store.close()
    again = ConversationStore(tmp_path / "data")
    await again.list_chats()
    await again.close()
    (copy,) = path.parent.glob("conversations.db.schema1-2*")
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert list(connection.iterdump()) == before
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


async def test_a_failed_upgrade_changes_nothing(tmp_path: Path) -> None:
    path = make_first_file(tmp_path / "data")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE commands (in_the_way INTEGER)")
        before = list(connection.iterdump())
    for _ in range(2):
        store = ConversationStore(tmp_path / "data")
        with pytest.raises(StoreError, match="cannot be used: table commands already exists"):
            await store.list_chats()
        await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("DROP TABLE commands")
    store = ConversationStore(tmp_path / "data")
    assert len(await store.list_chats()) == 1
    await store.close()


UPGRADER = """
import sys
from pathlib import Path
from vmpilot.store._opening import open_database
sys.stdin.readline()
open_database(Path(sys.argv[1])).close()
print("alembic" in sys.modules)
"""


def test_only_one_of_many_processes_upgrades(tmp_path: Path) -> None:
    path = make_first_file(tmp_path / "data")
    command = [sys.executable, "-c", UPGRADER, str(path)]
    upgraders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for upgrader in upgraders:
        assert upgrader.stdin is not None
        upgrader.stdin.write("go\n")
        upgrader.stdin.flush()
    said = [upgrader.communicate() for upgrader in upgraders]
    assert [error for _, error in said] == [""] * 4
    assert max(said) == ("True\n", "")
    assert len(list(path.parent.glob("conversations.db.schema1-*"))) == 1


async def test_alembic_is_only_imported_for_an_upgrade(tmp_path: Path) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", UPGRADER, f"{tmp_path}/data/conversations.db"]
        ran = subprocess.run(command, input="\n", capture_output=True, text=True, check=True)  # noqa: ASYNC221
        assert ran.stdout == "False\n"


def test_importing_the_store_is_cheap() -> None:
    code = "import sys, vmpilot.store; print({'sqlalchemy', 'alembic', 'psycopg', 'sqlite3'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


async def test_a_newer_schema_is_rejected(store: ConversationStore, place: Place) -> None:
    await store.list_chats()
    await store.close()
    if place.url is None:
        with closing(sqlite3.connect(place.folder / "conversations.db")) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        with psycopg.connect(place.url) as session:
            session.execute("UPDATE vmpilot.alembic_version SET version_num = '99'")
    newer = place.store()
    with pytest.raises(StoreError, match=r"was written by a newer VMPilot \(schema 99\). Upgrade vmpilot-core"):
        await newer.create()
    await newer.close()


async def test_the_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE conversations (other TEXT)")
    before = path.read_bytes()
    store = ConversationStore(tmp_path)
    with pytest.raises(StoreError, match=r"is another program's database\. Move it away, or set VMPILOT_DATA_DIR"):
        await store.create()
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert [line for line in connection.iterdump() if "CREATE" in line] == [
            "CREATE TABLE conversations (other TEXT);"
        ]
    assert len(before) == path.stat().st_size


async def test_tables_of_another_program_in_the_same_database_do_not_interfere(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_database()
    with psycopg.connect(url) as session:
        session.execute("CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('77')")
        session.execute("CREATE TABLE conversations (other TEXT)")
    store = ConversationStore(tmp_path, database_url=Secret(url))
    assert await store.list_chats() == ()
    await store.close()


def test_the_schema_has_a_migration() -> None:
    folder = Path(sys.modules["vmpilot.store._schema"].__file__ or "").parent / "migrations" / "versions"
    assert sorted(int(path.name[1:].partition("_")[0]) for path in folder.glob("v*.py")) == [1, SCHEMA_VERSION]
