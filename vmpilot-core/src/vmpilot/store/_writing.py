"""Writes, each within a transaction that the caller holds: entries, and all that is drawn from them."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from vmpilot.contract import Event, StoreError, ToolFinished, ToolStarted, TurnEnded, TurnStarted, encode_event
from vmpilot.store._codec import decode, pack
from vmpilot.store._lease import Holder, holder_to_json
from vmpilot.store._schema import commands, conversations, entries, texts, turns
from vmpilot.store._statements import (
    BEGIN_CONVERSATION,
    DESCRIBE,
    END_TURN,
    FINISH_COMMAND,
    INSERT_COMMAND,
    INSERT_ENTRIES,
    INSERT_TURN,
    LAST_NUMBER,
    TAKE_LEASE,
    TOUCH,
    TOUCH_AND_DESCRIBE,
)
from vmpilot.store._text import searched_text, title_in, words_in
from vmpilot.store._word_index import WordIndex

_LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Claim:
    """A writer's right to append: `lease` is its number, which a later writer makes void."""

    conversation_id: str
    lease: int
    holder: Holder


def take_lease(connection: Connection, conversation_id: str, holder: Holder) -> tuple[Claim, int] | None:
    """Make older writers' claims void; the new claim and the number of the last entry, None without such a one."""
    values = {"conversation": conversation_id, "new_holder": holder_to_json(holder)}
    lease = connection.execute(TAKE_LEASE, values).scalar()
    return None if lease is None else (Claim(conversation_id, lease, holder), last_number(connection, conversation_id))


def last_number(connection: Connection, conversation_id: str) -> int:
    """The number of the conversation's last entry, 0 where it has none."""
    return connection.execute(LAST_NUMBER, {"conversation": conversation_id}).scalar() or 0


def append_entries(
    connection: Connection, index: WordIndex, *, claim: Claim, number: int, events: Sequence[Event]
) -> None:
    """Write events from entry `number` on; entry 1 begins the conversation.

    Raises `StoreError` where the claim is void.
    """
    now = time.time()
    if number == 1:
        row = {"id": claim.conversation_id, "started": now, "touched": now, "lease": claim.lease}
        connection.execute(BEGIN_CONVERSATION, row | {"holder": holder_to_json(claim.holder)})
    values = {"conversation": claim.conversation_id, "own_lease": claim.lease, "now": now}
    told = _told(events)
    touch = TOUCH_AND_DESCRIBE if told else TOUCH
    if connection.execute(touch, values | told).rowcount != 1:
        raise StoreError(
            f"Conversation {claim.conversation_id} was taken over by another process, or deleted, while it was open "
            "here. Nothing was written. Open it again to continue."
        )
    insert_entries(connection, claim.conversation_id, number, [encode_event(event) for event in events])
    draw_entries(connection, index, conversation_id=claim.conversation_id, events=enumerate(events, start=number))


def insert_entries(connection: Connection, conversation_id: str, number: int, bodies: Iterable[str]) -> None:
    """Write bodies from entry `number` on."""
    rows = [
        {"conversation_id": conversation_id, "number": position, "body": body}
        for position, body in enumerate(bodies, start=number)
    ]
    if rows:
        connection.execute(INSERT_ENTRIES, rows)


def draw_views(connection: Connection, index: WordIndex) -> None:
    """Draw everything anew from the log."""
    index.clear(connection)
    connection.execute(delete(turns))
    connection.execute(delete(commands))
    for id_, inherited in connection.execute(select(conversations.c.id, conversations.c.inherited)).all():
        query = select(entries.c.body).where(entries.c.conversation_id == id_).order_by(entries.c.number)
        events = [decode(body) for body in connection.scalars(query)]
        blank = update(conversations).where(conversations.c.id == id_)
        connection.execute(blank.values(turns=0))
        describe_conversation(connection, id_, events)
        draw_entries(connection, index, conversation_id=id_, events=enumerate(events, start=1), inherited=inherited)


def describe_conversation(connection: Connection, conversation_id: str, events: Sequence[Event]) -> None:
    """Add what the events tell to the conversation's own row."""
    if told := _told(events):
        connection.execute(DESCRIBE, {"conversation": conversation_id} | told)


def draw_entries(
    connection: Connection,
    index: WordIndex,
    *,
    conversation_id: str,
    events: Iterable[tuple[int, Event]],
    inherited: int = 0,
) -> None:
    """Draw numbered entries; the turns and commands of those up to `inherited` happened elsewhere and do not count."""
    for number, event in events:
        if words := words_in(searched_text(event)):
            index.add(connection, conversation_id, number, words)
        if number > inherited:
            _draw_entry(connection, conversation_id, number, event)


def delete_conversation(connection: Connection, index: WordIndex, conversation_id: str) -> None:
    """Remove a conversation and all that is drawn from it."""
    index.remove(connection, conversation_id)
    for table in (entries, texts, turns, commands):
        connection.execute(delete(table).where(table.c.conversation_id == conversation_id))
    connection.execute(delete(conversations).where(conversations.c.id == conversation_id))


def _told(events: Sequence[Event]) -> dict[str, Any]:
    """What the events tell of their conversation, for `DESCRIBE`; empty where they tell nothing."""
    begun = [event for event in events if isinstance(event, TurnStarted)]
    title = next(filter(None, map(title_in, events)), "")
    if not begun and not title:
        return {}
    return {"begun": len(begun), "last_model": pack(begun[-1].model) if begun else None, "new_title": pack(title)}


def _draw_entry(connection: Connection, conversation_id: str, number: int, event: Event) -> None:
    match event:
        case TurnStarted():
            row = {"conversation_id": conversation_id, "number": number, "started": _finite(event.time)}
            connection.execute(INSERT_TURN, row | {"model": pack(event.model)})
        case TurnEnded():
            _end_turn(connection, conversation_id, event)
        case ToolStarted():
            row = {"conversation_id": conversation_id, "number": number, "started": _finite(event.time)}
            connection.execute(INSERT_COMMAND, row | {"call": _digest(event.call.id)})
        case ToolFinished():
            if (denied := event.denied) is not None:
                row = {"conversation_id": conversation_id, "number": number, "started": _finite(denied.time)}
                connection.execute(INSERT_COMMAND, row | {"call": _digest(denied.call.id)})
            ended = {"conversation": conversation_id, "ended_call": _digest(event.result.call_id), "result": number}
            connection.execute(FINISH_COMMAND, ended)
        case _:
            pass


def _end_turn(connection: Connection, conversation_id: str, event: TurnEnded) -> None:
    usage = event.usage
    values = {
        "conversation": conversation_id,
        "new_ended": _finite(event.time),
        "new_input_tokens": _count(usage.input_tokens),
        "new_output_tokens": _count(usage.output_tokens),
        "new_cached_tokens": _count(usage.cached_tokens),
        "new_reasoning_tokens": _count(usage.reasoning_tokens),
        "new_cost": event.cost if event.cost is not None and math.isfinite(event.cost) else None,
    }
    connection.execute(END_TURN, values)


def _finite(seconds: float) -> float:
    """No number that a model or a clock invents may keep an event from being stored."""
    return seconds if math.isfinite(seconds) else 0.0


def _count(tokens: int) -> int:
    return min(max(tokens, 0), _LARGEST)


def _digest(call_id: str) -> str:
    return hashlib.blake2b(pack(call_id).encode(), digest_size=16).hexdigest()
