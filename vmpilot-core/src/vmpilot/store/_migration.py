"""Bring a database to the present schema. Alembic is imported only where an older one is found."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection

from vmpilot.contract import StoreError
from vmpilot.store._postgres import PostgresDatabase
from vmpilot.store._schema import SCHEMA_VERSION, create_schema
from vmpilot.store._sqlite import SqliteFile
from vmpilot.store._writing import draw_views

AnyDatabase: TypeAlias = SqliteFile | PostgresDatabase


def prepare_schema(database: AnyDatabase) -> None:
    """Make the schema where there is none, and upgrade an older one, in one transaction.

    Raises `StoreError` where a newer VMPilot made it.
    """
    if _checked_version(database) == SCHEMA_VERSION:
        return
    with database.preparing():
        version = _checked_version(database)  # another process may have been faster
        if version == SCHEMA_VERSION:
            return
        if version:
            database.before_upgrade(version)
        with database.writing() as connection:
            if version:
                _run_migrations(connection, version)
                draw_views(connection, database.words)
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
