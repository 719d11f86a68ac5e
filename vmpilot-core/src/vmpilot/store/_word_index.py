"""The word index: FTS5 in SQLite, tsvector in PostgreSQL. Both store the words of `vmpilot.store._text.words_in`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, delete

from vmpilot.store._codec import decode
from vmpilot.store._schema import WORD_INDEX, texts
from vmpilot.store._text import searched_text, words_in


class WordIndex(Protocol):
    """Finds entries by words. `matches` joins `texts` with the parameter `query`, whose value `query` returns."""

    matches: str

    def add(self, connection: Connection, conversation_id: str, number: int, words: Sequence[str]) -> None:
        """Index an entry."""

    def remove(self, connection: Connection, conversation_id: str) -> None:
        """Remove a conversation's words, before its entries are deleted."""

    def clear(self, connection: Connection) -> None:
        """Remove all words."""

    def query(self, words: Sequence[str]) -> str:
        """The query for entries that contain, for each of these words, one that starts with it."""


class SqliteWordIndex:
    """A contentless FTS5 table, whose rows are numbered as in `texts`."""

    matches = "JOIN words ON words.rowid = texts.id AND words MATCH :query"

    def add(self, connection: Connection, conversation_id: str, number: int, words: Sequence[str]) -> None:
        insert = "INSERT INTO texts (conversation_id, number) VALUES (?, ?)"
        connection.exec_driver_sql(insert, (conversation_id, number))
        insert = "INSERT INTO words (rowid, text) VALUES (last_insert_rowid(), ?)"
        connection.exec_driver_sql(insert, (" ".join(words),))

    def remove(self, connection: Connection, conversation_id: str) -> None:
        """A row of a contentless table is deleted by repeating its content."""
        query = (
            "SELECT texts.id, entries.body FROM texts JOIN entries ON entries.conversation_id = texts.conversation_id "
            "AND entries.number = texts.number WHERE texts.conversation_id = ?"
        )
        rows = connection.exec_driver_sql(query, (conversation_id,)).all()
        if rows:
            gone = [(id_, " ".join(words_in(searched_text(decode(body))))) for id_, body in rows]
            connection.exec_driver_sql("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", gone)
            connection.exec_driver_sql(
                "INSERT INTO words (words) VALUES ('optimize')"
            )  # otherwise the words stay on disk
        connection.execute(delete(texts).where(texts.c.conversation_id == conversation_id))

    def clear(self, connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO words (words) VALUES ('delete-all')")
        connection.execute(delete(texts))

    def reset(self, connection: Connection) -> None:
        """Empty a damaged index, which could not even be dropped: its tables are replaced by those of a new one."""
        connection.exec_driver_sql(WORD_INDEX["sqlite"][0].replace(" words ", " blank "))
        for table in ("data", "idx", "config"):
            connection.exec_driver_sql(f"DELETE FROM words_{table}")  # noqa: S608
            connection.exec_driver_sql(f"INSERT INTO words_{table} SELECT * FROM blank_{table}")  # noqa: S608
        connection.exec_driver_sql("DROP TABLE blank")

    def query(self, words: Sequence[str]) -> str:
        return " AND ".join(f'"{word}" *' for word in words)


class PostgresWordIndex:
    """A column of `texts`."""

    matches = "AND texts.words @@ CAST(:query AS tsquery)"

    def add(self, connection: Connection, conversation_id: str, number: int, words: Sequence[str]) -> None:
        insert = "INSERT INTO texts (conversation_id, number, words) VALUES (%s, %s, array_to_tsvector(%s::text[]))"
        connection.exec_driver_sql(insert, (conversation_id, number, list(words)))

    def remove(self, connection: Connection, conversation_id: str) -> None:
        connection.execute(delete(texts).where(texts.c.conversation_id == conversation_id))

    def clear(self, connection: Connection) -> None:
        connection.execute(delete(texts))

    def query(self, words: Sequence[str]) -> str:
        return " & ".join(f"'{word}':*" for word in words)
