"""The log in its own PostgreSQL schema: the URL, the sessions, and advisory locks for the leases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from vmpilot.contract import Secret, StoreError, UsageError, VMPilotError
from vmpilot.installation import install_command
from vmpilot.store._database import Database
from vmpilot.store._word_index import PostgresWordIndex

SCHEMA = "vmpilot"
_TIMEOUTS = {
    # seconds, milliseconds for the last: a server that vanished silently is noticed
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_ABSENT = {"42P01", "3F000"}
"""SQLSTATEs: undefined table, invalid schema name."""

_BEGIN_SESSION = f"""
SELECT set_config('search_path', '{SCHEMA}', false), set_config('tcp_keepalives_idle', '30', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                  ELSE current_setting('synchronous_commit') END, false)
"""


class PostgresDatabase(Database):
    """The conversations in a PostgreSQL database that several machines may share."""

    words = PostgresWordIndex()

    def __init__(self, address: Secret) -> None:
        """Raises `UsageError` if the address is invalid or the driver is not installed."""
        self._url = _parse(address)
        self.place = f"The database {_where(self._url)}"
        super().__init__(_create_engine(self._url))
        event.listen(self.engine, "connect", _begin_session)
        self._locks = _AdvisoryLocks(self.engine)

    def read_version(self) -> int:
        """The schema's version, 0 if there is no schema."""
        with self.guarded(), self.engine.connect() as connection:
            try:
                found = connection.exec_driver_sql(f"SELECT version_num FROM {SCHEMA}.alembic_version").scalar()  # noqa: S608
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) in _ABSENT:
                    return 0
                raise
        return int(found or 0)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Let one process at a time create or change the schema."""
        with self.guarded(), self._autocommitting() as connection:
            key = _key("schema")
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (key,))
            try:
                present = "SELECT 1 FROM pg_namespace WHERE nspname = %s"  # a user may lack the right to create it
                if connection.exec_driver_sql(present, (SCHEMA,)).first() is None:
                    connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
                yield
            finally:
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (key,))

    def before_upgrade(self, version: int) -> None:
        """Backups are the administrator's task."""

    def set_version(self, connection: Connection, version: int) -> None:
        """Alembic's own table is enough."""

    def lock(self, conversation_id: str) -> _AdvisoryLock | None:
        with self.guarded():
            key = _key(conversation_id)
            return _AdvisoryLock(self, key) if self._locks.take(key) else None

    def has_lock(self, key: int) -> bool:
        """Whether the lock is still held."""
        with self.guarded():
            return self._locks.has(key)

    def release_lock(self, key: int) -> None:
        self._locks.release(key)

    def forget_lock(self, conversation_id: str) -> None:
        """Advisory locks leave nothing behind."""

    def clean_up(self) -> None:
        """The server's vacuum does."""

    def failure(self, error: SQLAlchemyError) -> VMPilotError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(error, DBAPIError) and (error.connection_invalidated or _is_lost(cause)):
            self._locks.lose()
        said = _without_password(str(cause), self._url)
        return StoreError(
            f"{self.place} cannot be used: {said}. Check that it is running and accepts you, then try again."
        )

    def close(self) -> None:
        self._locks.lose()
        super().close()

    @contextmanager
    def _autocommitting(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


class _AdvisoryLocks:
    """Locks of one session, which ends with the process, so that no lock can be left behind."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session: Connection | None = None
        self._held: set[int] = set()

    def take(self, key: int) -> bool:
        if key in self._held or not self._ask(key):  # a session can take the same lock twice
            return False
        self._held.add(key)
        return True

    def has(self, key: int) -> bool:
        if self._session is None:
            self._begin()
        return key in self._held

    def release(self, key: int) -> None:
        self._held.discard(key)
        if self._session is not None:
            try:
                self._session.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (key,))
            except SQLAlchemyError:
                self.lose()

    def lose(self) -> None:
        """End the session in whatever state it is."""
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()

    def _ask(self, key: int) -> bool:
        if self._session is not None:
            try:
                return _try_lock(self._session, key)
            except SQLAlchemyError:  # the session may have ended long ago
                self.lose()
        return _try_lock(self._begin(), key)

    def _begin(self) -> Connection:
        """Start a session and reacquire the locks of the last session, as far as they are free."""
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            self._held = {key for key in self._held if _try_lock(session, key)}
        except BaseException:
            session.close()
            raise
        self._session = session
        return session


class _AdvisoryLock:
    def __init__(self, database: PostgresDatabase, key: int) -> None:
        self._database = database
        self._key = key

    def is_held(self) -> bool:
        return self._database.has_lock(self._key)

    def release(self) -> None:
        self._database.release_lock(self._key)


def _try_lock(session: Connection, key: int) -> bool:
    return bool(session.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (key,)).scalar_one())


def _parse(address: Secret) -> URL:
    try:
        url = make_url(address.reveal().strip())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in {"postgresql", "postgres"}:
        raise UsageError("Invalid database_url. Expected postgresql://user:password@host/database.")
    return url.set(drivername="postgresql+psycopg")


def _create_engine(url: URL) -> Engine:
    timeouts = {name: value for name, value in _TIMEOUTS.items() if name not in url.query}
    arguments: dict[str, Any] = {"application_name": "vmpilot", **timeouts, "client_encoding": "utf8"}
    try:
        return create_engine(url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)
    except ImportError as error:
        raise UsageError(
            f"PostgreSQL needs a driver that is not installed. Run `{install_command('vmpilot-core[postgres]')}`."
        ) from error


def _where(url: URL) -> str:
    host = url.host or url.query.get("host") or "this machine"
    return f"{url.database or url.username or 'postgres'} on {host}{f':{url.port}' if url.port else ''}"


def _begin_session(connection: Any, _record: object) -> None:
    connection.autocommit = True
    connection.execute(_BEGIN_SESSION)
    connection.autocommit = False


def _is_lost(cause: BaseException | None) -> bool:
    """Whether the server ended the session (SQLSTATE class 57P), or the connection is gone."""
    state = getattr(cause, "sqlstate", None)
    return state is None or state.startswith("57P")


def _without_password(text: str, url: URL) -> str:
    first = text.strip().partition("\n")[0]
    return first.replace(str(url.password), "***") if url.password else first


def _key(name: str) -> int:
    """Advisory locks are 64-bit numbers, shared by all programs that use the database."""
    return int.from_bytes(hashlib.blake2b(f"vmpilot {name}".encode(), digest_size=8).digest(), signed=True)
