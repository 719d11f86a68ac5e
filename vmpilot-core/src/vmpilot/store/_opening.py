"""Open the database that the settings name, with the present schema."""

from __future__ import annotations

from pathlib import Path

from vmpilot.contract import Secret
from vmpilot.store._migration import AnyDatabase, prepare_schema
from vmpilot.store._postgres import PostgresDatabase
from vmpilot.store._sqlite import SqliteFile


def open_database(path: Path, database_url: Secret | None = None) -> AnyDatabase:
    """The SQLite file at the path, which is made where it is missing, or the PostgreSQL database of the URL.

    Raises `UsageError` for a file that cannot be made or written to and for a URL that is none, `StoreError` where the
    database cannot be used.
    """
    database = SqliteFile(path) if database_url is None else PostgresDatabase(database_url)
    try:
        prepare_schema(database)
    except BaseException:
        database.close()
        raise
    return database
