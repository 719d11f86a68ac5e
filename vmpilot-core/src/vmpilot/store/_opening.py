"""Opens the database selected in the settings, with the current schema. Alembic is imported only for an older one."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection

from vmpilot.contract import Secret, StoreError
from vmpilot.store._postgres import PostgresDatabase
from vmpilot.store._schema import SCHEMA_VERSION, create_schema
from vmpilot.store._sqlite import SqliteFile
from vmpilot.store._writing import rebuild_views

AnyDatabase: TypeAlias = SqliteFile | PostgresDatabase


def open_database(path: Path, database_url: Secret | None = None) -> AnyDatabase:
    """The SQLite file at the path, created if missing, or the PostgreSQL database of the URL.

    Raises `UsageError` if the file is not writable or the URL is invalid, `StoreError` if the database cannot be used.
    """
    database = SqliteFile(path) if database_url is None else PostgresDatabase(database_url)
    try:
        _prepare_schema(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare_schema(database: AnyDatabase) -> None:
    """Create the schema in an empty database, or upgrade an older one, in one transaction.

    Raises `StoreError` if a newer VMPilot created it.
    """
    if _checked_version(database) == SCHEMA_VERSION:
        return
    with database.preparing():
        version = _checked_version(database)  # another process may have done it meanwhile
        if version == SCHEMA_VERSION:
            return
        if version:
            database.before_upgrade(version)
        with database.writing() as connection:
            if version:
                _run_migrations(connection, version)
                rebuild_views(connection, database.words)
            else:
                create_schema(connection)
            database.set_version(connection, SCHEMA_VERSION)


def _checked_version(database: AnyDatabase) -> int:
    version = database.read_version()
    if version > SCHEMA_VERSION:
        raise StoreError(f"{database.place} was written by a newer VMPilot (schema {version}). Upgrade vmpilot-core.")
    return version


def _run_migrations(connection: Connection, version: int) -> None:
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for revision in reversed(list(scripts.iterate_revisions("head", str(version)))):
            revision.module.upgrade()
    context.stamp(scripts, "head")
