"""The tables, in SQLAlchemy Core. Bodies are events as ASCII JSON, so NUL and lone surrogates survive."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 1

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("started", Float, nullable=False),
    Column("touched", Float, nullable=False, index=True),
)

entries = Table(
    "entries",
    metadata,
    Column("conversation_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),  # dense, from 1
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)
