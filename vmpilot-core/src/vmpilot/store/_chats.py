"""All operations on stored conversations except appending; each method is one transaction."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from vmpilot.contract import Event, TurnStarted, UsageError, encode_event
from vmpilot.store._codec import pack
from vmpilot.store._document import GOOD_ID, Imported, read_document, write_document
from vmpilot.store._lease import describe_holder
from vmpilot.store._records import Chat, Command, Cost, CostBy, Hit
from vmpilot.store._schema import conversations
from vmpilot.store._text import title_from, words_in
from vmpilot.store._views import add_up_costs, list_chats, list_commands, read_events, search_entries
from vmpilot.store._writing import delete_conversation, describe_conversation, index_entries, insert_entries

if TYPE_CHECKING:
    from vmpilot.store._opening import AnyDatabase


@dataclass(frozen=True, slots=True)
class Chats:
    """The conversations of a database, by their complete ids; `find` completes a prefix."""

    database: AnyDatabase

    def find(self, prefix: str) -> str:
        found: list[str] = []
        if GOOD_ID.fullmatch(prefix):
            here = conversations.c.id.startswith(prefix)
            query = select(conversations.c.id).where(here).order_by(conversations.c.id).limit(4)
            with self.database.reading() as connection:
                found = list(connection.scalars(query))
        if prefix in found or len(found) == 1:
            return prefix if prefix in found else found[0]
        if found:
            listed = ", ".join([*found[:3], *(["…"] if found[3:] else [])])
            raise UsageError(f'Several conversations begin with "{prefix}": {listed}. Use a longer prefix.')
        raise UsageError(f'There is no conversation "{prefix}". See `vmpilot chats list`.')

    def latest(self) -> str:
        query = select(conversations.c.id).order_by(conversations.c.touched.desc()).limit(1)
        with self.database.reading() as connection:
            found: str | None = connection.scalars(query).first()
        if found is None:
            raise UsageError("There is no conversation to continue yet. Run vmpilot without -c.")
        return found

    def holder(self, conversation_id: str) -> str:
        """The conversation's current writer, as text."""
        query = select(conversations.c.holder).where(conversations.c.id == conversation_id)
        with self.database.reading() as connection:
            return describe_holder(connection.scalars(query).first() or "")

    def chat(self, conversation_id: str) -> Chat:
        with self.database.reading() as connection:
            return _chat(connection, conversation_id)

    def list(self, limit: int | None, *, failed: bool) -> tuple[Chat, ...]:
        with self.database.reading() as connection:
            return tuple(list_chats(connection, limit=limit, failed=failed))

    def events(self, conversation_id: str) -> tuple[Event, ...]:
        with self.database.reading() as connection:
            return read_events(connection, conversation_id)

    def search(self, words: str, limit: int) -> tuple[Hit, ...]:
        wanted = words_in(words)
        if not wanted:
            raise UsageError("Nothing to search for. Use words of letters or digits.")
        with self.database.reading() as connection:
            return tuple(search_entries(connection, self.database.words, wanted, limit=limit))

    def costs(self, by: CostBy, since: float) -> tuple[Cost, ...]:
        with self.database.reading() as connection:
            return tuple(add_up_costs(connection, by, since=since))

    def audit(self, prefix: str | None, limit: int | None) -> tuple[Command, ...]:
        conversation_id = None if prefix is None else self.find(prefix)
        with self.database.reading() as connection:
            return tuple(list_commands(connection, limit=limit, conversation_id=conversation_id))

    def export(self, conversation_id: str) -> str:
        with self.database.reading() as connection:
            chat, events = _chat(connection, conversation_id), read_events(connection, conversation_id)
        return write_document(
            events, conversation_id=chat.id, title=chat.title, started=chat.started, touched=chat.touched
        )

    def import_document(self, data: str | bytes) -> Chat:
        document = read_document(data)
        with self.database.writing() as connection:
            taken = connection.execute(select(conversations.c.id).where(conversations.c.id == document.id)).first()
            id_ = document.id if document.id and taken is None else secrets.token_hex(6)
            now = time.time()
            self._add(connection, id_, document, started=min(document.started, now), touched=min(document.touched, now))
            return _chat(connection, id_)

    def fork(self, conversation_id: str, at: int | None) -> Chat:
        now = time.time()
        with self.database.writing() as connection:
            chat, events = _chat(connection, conversation_id), read_events(connection, conversation_id)
            kept = Imported("", chat.title, chat.started, chat.touched, _first_turns(events, at, conversation_id))
            id_ = secrets.token_hex(6)
            self._add(connection, id_, kept, started=now, touched=now, origin=conversation_id)
            return _chat(connection, id_)

    def rename(self, conversation_id: str, title: str) -> Chat:
        cut = title_from(title)
        if not cut:
            raise UsageError("A title needs at least one visible character.")
        with self.database.writing() as connection:
            renamed = update(conversations).where(conversations.c.id == conversation_id).values(title=pack(cut))
            connection.execute(renamed)
            return _chat(connection, conversation_id)

    def delete(self, conversation_id: str) -> Chat:
        """The caller holds the conversation's lock."""
        with self.database.writing() as connection:
            chat = _chat(connection, conversation_id)
            delete_conversation(connection, self.database.words, conversation_id)
        self.database.forget_lock(conversation_id)
        self.database.clean_up()
        return chat

    def _add(
        self,
        connection: Connection,
        conversation_id: str,
        document: Imported,
        *,
        started: float,
        touched: float,
        origin: str | None = None,
    ) -> None:
        events = document.events
        row = {"id": conversation_id, "started": started, "touched": touched, "title": pack(document.title)}
        connection.execute(insert(conversations), row | {"origin": origin, "inherited": len(events)})
        insert_entries(connection, conversation_id, 1, [encode_event(event) for event in events])
        describe_conversation(connection, conversation_id, events)
        index_entries(
            connection,
            self.database.words,
            conversation_id=conversation_id,
            events=enumerate(events, start=1),
            inherited=len(events),
        )


def _chat(connection: Connection, conversation_id: str) -> Chat:
    found = list_chats(connection, ids=[conversation_id])
    if not found:
        raise UsageError(f"Conversation {conversation_id} was deleted a moment ago.")
    return found[0]


def _first_turns(events: tuple[Event, ...], at: int | None, conversation_id: str) -> tuple[Event, ...]:
    """The entries up to the end of turn `at`."""
    if at is None:
        return events
    begun = [number for number, event in enumerate(events) if isinstance(event, TurnStarted)]
    if not 1 <= at <= len(begun):
        raise UsageError(f"Conversation {conversation_id} has no turn {at}; its last one is turn {len(begun)}.")
    return events[: begun[at]] if at < len(begun) else events
