"""The tables, in SQLAlchemy Core. Text from outside is stored as ASCII JSON, so NUL and lone surrogates survive.

`entries` is the log. `texts` (with the word index), `turns` and `commands` are derived from it in the
transaction that appends, and can be rebuilt.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 2

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("started", Float, nullable=False),
    Column("touched", Float, nullable=False, index=True),
    Column(
        "lease", Integer, nullable=False, server_default="1"
    ),  # incremented by each writer, so that an older one cannot commit
    Column("holder", Text, nullable=False, server_default="{}"),  # JSON: the last lease's holder
    Column("title", Text, nullable=False, server_default='""'),  # JSON
    Column("model", Text, nullable=False, server_default='""'),  # JSON: the last turn's
    Column("turns", Integer, nullable=False, server_default="0"),
    Column("origin", String(32)),  # the conversation that this one was forked from
    Column("inherited", Integer, nullable=False, server_default="0"),  # number of copied or imported entries
)

entries = Table(
    "entries",
    metadata,
    Column("conversation_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),  # dense, from 1
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)

texts = Table(
    "texts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("conversation_id", String(32), nullable=False, index=True),
    Column("number", Integer, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    Column("conversation_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),  # of the entry that started it
    Column("started", Float, nullable=False, index=True),
    Column("model", Text, nullable=False),  # JSON
    Column("ended", Float),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cached_tokens", BigInteger, nullable=False, server_default="0"),
    Column("reasoning_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost", Float),  # US dollars
)

commands = Table(
    "commands",
    metadata,
    Column("conversation_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),  # of the entry that recorded its start
    Column("started", Float, nullable=False, index=True),
    Column("call", String(32), nullable=False),  # a digest of the call's id
    Column("finished", Integer),  # the number of the entry with its result
    Index("ix_commands_call", "conversation_id", "call"),
)

version = Table("alembic_version", metadata, Column("version_num", String(32), primary_key=True))

WORD_INDEX = {
    "sqlite": ("CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none, columnsize=0, tokenize='ascii')",),
    "postgresql": (
        "ALTER TABLE texts ADD COLUMN words tsvector NOT NULL",
        "CREATE INDEX ix_texts_words ON texts USING gin (words)",
    ),
}


def create_schema(connection: Connection) -> None:
    """Create everything in an empty database, with the same result as the migrations."""
    metadata.create_all(connection, checkfirst=False)
    for statement in WORD_INDEX[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    connection.execute(version.insert(), {"version_num": str(SCHEMA_VERSION)})
