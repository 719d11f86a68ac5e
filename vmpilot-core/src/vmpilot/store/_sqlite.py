"""The log in an SQLite file: durable settings, lock files, and the treatment of a damaged file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from errno import EACCES
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from vmpilot.contract import StoreError, VMPilotError
from vmpilot.store._database import Database
from vmpilot.store._lease import FileLock, exclusive, file_error
from vmpilot.store._word_index import SqliteWordIndex

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BESIDE = ("-wal", "-shm", "")
"""The suffixes of a database's files; the write-ahead log first, or a new database would apply it."""


class SqliteFile(Database):
    """The conversations in one file, created if missing."""

    words = SqliteWordIndex()

    def __init__(self, path: Path) -> None:
        """Raises `UsageError` if the file cannot be created or written."""
        self.path = path
        self.place = f"The conversation log {path}"
        _make_file(path)
        self._identity = _identity(path)
        self._preparing = False
        self._rebuilding = False
        engine = create_engine(
            f"sqlite:///{path}", connect_args={"timeout": 10.0, "check_same_thread": False}, hide_parameters=True
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        super().__init__(engine)

    def read_version(self) -> int:
        """The schema's version, 0 for an empty file."""
        if self.path.stat().st_size == 0:  # if several processes turn on the write-ahead log at once, they fail
            return 0
        with self.reading() as connection:
            version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            known = version or connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one() == 0
        if not known:
            raise StoreError(f"{self.path} is another program's database. Move it away, or set VMPILOT_DATA_DIR.")
        return version

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """SQLite's own locks do not protect processes that create the same file at the same moment."""
        with exclusive(self._schema_lock):
            self._preparing = True
            try:
                yield
            finally:
                self._preparing = False

    def before_upgrade(self, version: int) -> None:
        """Copy the file to the same folder, with the schema and the time in its name."""
        copy = _free_name(self.path, f"schema{version}")
        descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(descriptor)
        try:
            with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        except sqlite3.Error as error:
            copy.unlink()
            raise StoreError(
                f"Cannot back up {self.path} before its schema is upgraded: {error}. Free some space, then try again."
            ) from error

    def set_version(self, connection: Connection, version: int) -> None:
        """Also set it for older programs, which do not know Alembic."""
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")

    @property
    def is_replaced(self) -> bool:
        return _identity(self.path) != self._identity

    def lock(self, conversation_id: str) -> FileLock | None:
        return FileLock.take(self._lock_file(conversation_id))

    def forget_lock(self, conversation_id: str) -> None:
        self._lock_file(conversation_id).unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Deleted pages are overwritten with zeros, but the write-ahead log still holds their old content."""
        with self.guarded(), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)  # noqa: S101
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def failure(self, error: SQLAlchemyError) -> VMPilotError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_CORRUPT_VTAB and not self._rebuilding:
            return self._rebuild()
        if code & 0xFF in _DAMAGE:
            return self._set_aside(str(cause))
        return StoreError(f"{self.place} cannot be used: {cause}. Free some space or repair the file, then try again.")

    def _rebuild(self) -> VMPilotError:
        """Only the word index is damaged, and it can be rebuilt."""
        from vmpilot.store._writing import rebuild_views

        self._rebuilding = True
        try:
            with self.writing() as connection:
                self.words.reset(connection)
            with self.writing() as connection:
                rebuild_views(connection, self.words)
        except VMPilotError as error:
            return error
        finally:
            self._rebuilding = False
        return StoreError(f"The search index in {self.path} was damaged and has been rebuilt. Try again.")

    @property
    def _schema_lock(self) -> Path:
        return self.path.parent / "locks" / "schema.lock"

    def _lock_file(self, conversation_id: str) -> Path:
        return self.path.parent / "locks" / f"{conversation_id}.lock"

    def _set_aside(self, cause: str) -> StoreError:
        """Move a damaged file away, in one of the processes that find it."""
        with nullcontext() if self._preparing else exclusive(self._schema_lock):
            if self.is_replaced or not _is_damaged(self.path):
                return StoreError(f"{self.place} could not be read ({cause}). Try again.")
            kept = _free_name(self.path, "damaged")
            for ending in _BESIDE:
                old = Path(f"{self.path}{ending}")
                if old.exists():
                    old.rename(f"{kept}{ending}")
        return StoreError(
            f"{self.place} is damaged ({cause}). It was moved to {kept}, unchanged; "
            f'"sqlite3 {kept} .recover" recovers what is readable. Try again: a new log will be created.'
        )


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if not os.access(path.parent, os.W_OK):  # the write-ahead log is a separate file
            raise OSError(EACCES, os.strerror(EACCES))
    except OSError as error:
        raise file_error(path, error) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    """A committed entry survives a power failure: the write-ahead log is synced at each commit."""
    connection.isolation_level = None  # we begin transactions ourselves, and they include schema changes
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = ON")


def _begin(connection: Connection) -> None:
    if durability := connection.get_execution_options().get("vmpilot_write"):
        connection.exec_driver_sql(f"PRAGMA synchronous = {durability}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=10.0)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode & 0xFF in _DAMAGE


def _free_name(path: Path, what: str) -> Path:
    stem = f"{path}.{what}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (Path(f"{stem}{number}") for number in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(name for name in names if not name.exists())
