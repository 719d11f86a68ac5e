"""Open the SQLite file: durable settings, the schema's version, and clear errors where it cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, exc

from vmpilot.contract import StoreError, UsageError
from vmpilot.store.lease import exclusive
from vmpilot.store.schema import SCHEMA_VERSION, metadata


def open_database(path: Path) -> Engine:
    """An engine on the log's file, which is made where it is missing.

    Raises `UsageError` where the file cannot be made or opened, `StoreError` where it is no log of ours.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write conversations to {path}: {error.strerror}; make it writable, or set VMPILOT_DATA_DIR"
        ) from error
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 10.0, "check_same_thread": False})
    event.listen(engine, "connect", _make_durable)
    # SQLite's own locks do not order processes that make the same file at the same moment.
    with store_errors(path), exclusive(path.parent / "locks" / "schema.lock"):
        _prepare_schema(engine, path)
    return engine


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Maps the database library's exceptions to `StoreError`."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise StoreError(
            f"the conversation log {path} cannot be used: {cause}; free space or mend the file, then ask again"
        ) from error


def _make_durable(connection: sqlite3.Connection, _record: object) -> None:
    """What was acknowledged survives a power loss: a write-ahead log that is synced at each commit."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _prepare_schema(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} was written by a newer VMPilot (schema {version}): upgrade vmpilot-core")
    if version < SCHEMA_VERSION:
        with engine.begin() as connection:
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
