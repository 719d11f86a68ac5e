"""What the store needs of a database, whichever it is: transactions, leases, and errors that say what to do."""

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
    """The right to write to one conversation, which the system frees when its holder dies."""

    def is_held(self) -> bool:
        """Whether nobody else can have it now; takes it again where a broken connection lost it."""

    def release(self) -> None:
        """Let others have it; never raises."""


class Database(ABC):
    """An open database. All but `close` raise `StoreError` where it cannot be used."""

    words: WordIndex
    place: str
    """What to call it in an error: `the conversation log /path`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        with self.guarded(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction, committed at the end of the block; with `durable` it then survives a loss of power."""
        with self.guarded(), self.engine.connect() as connection:
            connection.execution_options(vmpilot_write="FULL" if durable else "NORMAL")
            with connection.begin():
                yield connection

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Maps the library's errors; after one nothing of the connections is used again."""
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
        """Whether another database is now where this one was."""
        return False

    @abstractmethod
    def lock(self, conversation_id: str) -> Lock | None:
        """The lock of a conversation, None where somebody has it."""

    @abstractmethod
    def forget_lock(self, conversation_id: str) -> None:
        """The conversation is gone: leave nothing of its lock behind, which is held."""

    @abstractmethod
    def failure(self, error: SQLAlchemyError) -> VMPilotError:
        """What to raise for an error of the library."""

    @abstractmethod
    def clean_up(self) -> None:
        """What was deleted leaves the disk, as far as that can be had."""
