"""The interface of a database: transactions, locks, and errors with advice for the user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vmpilot.contract import VMPilotError
from vmpilot.store._word_index import WordIndex


class Lock(Protocol):
    """The right to write to one conversation; the operating system releases it when its holder dies."""

    def is_held(self) -> bool:
        """Whether the lease is still held; acquires it again if a broken connection lost it."""

    def release(self) -> None:
        """Release it; never raises."""


class Database(ABC):
    """An open database. All methods but `close` raise `StoreError` if it cannot be used."""

    words: WordIndex
    place: str
    """Its name at the start of a message: `The conversation log /path`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection with a consistent view of the database."""
        with self.guarded(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction, committed at the end of the block; with `durable` it then survives a power failure."""
        with self.guarded(), self.engine.connect() as connection:
            connection.execution_options(vmpilot_write="FULL" if durable else "NORMAL")
            with connection.begin():
                yield connection

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Translate the library's errors; after one, the connections are not used again."""
        try:
            yield
        except SQLAlchemyError as error:
            self.engine.dispose()
            raise self.failure(error) from error

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @property
    def is_replaced(self) -> bool:
        """Whether another database has taken the place of this one."""
        return False

    @abstractmethod
    def lock(self, conversation_id: str) -> Lock | None:
        """The lock of a conversation, or None if it is held elsewhere."""

    @abstractmethod
    def forget_lock(self, conversation_id: str) -> None:
        """Remove the files of a deleted conversation's lock; the caller holds the lock."""

    @abstractmethod
    def failure(self, error: SQLAlchemyError) -> VMPilotError:
        """The error to raise for one of the library."""

    @abstractmethod
    def clean_up(self) -> None:
        """Remove deleted data from the disk as far as possible."""
