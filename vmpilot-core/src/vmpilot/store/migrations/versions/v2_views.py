"""Schema 2: leases, titles and forks; the tables for search, cost and audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    for column in (
        sa.Column("lease", sa.Integer, nullable=False, server_default="1"),
        sa.Column("holder", sa.Text, nullable=False, server_default="{}"),
        sa.Column("title", sa.Text, nullable=False, server_default='""'),
        sa.Column("model", sa.Text, nullable=False, server_default='""'),
        sa.Column("turns", sa.Integer, nullable=False, server_default="0"),
        sa.Column("origin", sa.String(32)),
        sa.Column("inherited", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("conversations", column)
    _create_texts()
    _create_turns()
    _create_commands()


def _create_texts() -> None:
    op.create_table(
        "texts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("conversation_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_index("ix_texts_conversation_id", "texts", ["conversation_id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none, columnsize=0, tokenize='ascii')"
        )
    else:
        op.execute("ALTER TABLE texts ADD COLUMN words tsvector NOT NULL")
        op.execute("CREATE INDEX ix_texts_words ON texts USING gin (words)")


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("conversation_id", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("input_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("output_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cost", sa.Float),
    )
    op.create_index("ix_turns_started", "turns", ["started"])


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("conversation_id", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("call", sa.String(32), nullable=False),
        sa.Column("finished", sa.Integer),
    )
    op.create_index("ix_commands_call", "commands", ["conversation_id", "call"])
    op.create_index("ix_commands_started", "commands", ["started"])
