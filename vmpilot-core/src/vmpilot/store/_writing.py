"""Writes within the caller's transaction: entries, and everything derived from them."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Text, bindparam, case, delete, func, insert, select, update

from vmpilot.contract import Event, StoreError, ToolFinished, ToolStarted, TurnEnded, TurnStarted, encode_event
from vmpilot.store._codec import decode, pack
from vmpilot.store._lease import Holder, holder_to_json
from vmpilot.store._schema import commands, conversations, entries, texts, turns
from vmpilot.store._text import searched_text, title_in, words_in
from vmpilot.store._word_index import WordIndex

# Built once: building a statement takes longer than executing it.
_HERE = conversations.c.id == bindparam("conversation")
_UNTITLED = conversations.c.title == pack("")

TAKE_LEASE = (
    update(conversations)
    .where(_HERE)
    .values(lease=conversations.c.lease + 1, holder=bindparam("new_holder"))
    .returning(conversations.c.lease)
)
LAST_NUMBER = select(func.max(entries.c.number)).where(entries.c.conversation_id == bindparam("conversation"))

BEGIN_CONVERSATION = insert(conversations)
INSERT_ENTRIES = insert(entries)
INSERT_TURN = insert(turns)
INSERT_COMMAND = insert(commands)

_SUMMARY = {
    "turns": conversations.c.turns + bindparam("begun"),
    "model": func.coalesce(bindparam("last_model", type_=Text), conversations.c.model),
    "title": case((_UNTITLED, bindparam("new_title", type_=Text)), else_=conversations.c.title),
}
_OURS = conversations.c.lease == bindparam("own_lease")

TOUCH = update(conversations).where(_HERE, _OURS).values(touched=bindparam("now"))
"""Changes no row if another process has taken the lease."""
TOUCH_AND_DESCRIBE = TOUCH.values(_SUMMARY)
DESCRIBE = update(conversations).where(_HERE).values(_SUMMARY)

_LAST_TURN = select(func.max(turns.c.number)).where(turns.c.conversation_id == bindparam("conversation"))

_END = ("ended", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost")

END_TURN = (
    update(turns)
    .where(
        turns.c.conversation_id == bindparam("conversation"),
        turns.c.number == _LAST_TURN.scalar_subquery(),
        turns.c.ended.is_(None),
    )
    .values({name: bindparam(f"new_{name}") for name in _END})
)

FINISH_COMMAND = (
    update(commands)
    .where(
        commands.c.conversation_id == bindparam("conversation"),
        commands.c.call == bindparam("ended_call"),
        commands.c.finished.is_(None),
    )
    .values(finished=bindparam("result"))
)

_LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Claim:
    """A writer's right to append: `lease` is its number; a later writer's higher number voids it."""

    conversation_id: str
    lease: int
    holder: Holder


def take_lease(connection: Connection, conversation_id: str, holder: Holder) -> tuple[Claim, int] | None:
    """Void older claims; the new one and the number of the last entry, None if the conversation does not exist."""
    values = {"conversation": conversation_id, "new_holder": holder_to_json(holder)}
    lease = connection.execute(TAKE_LEASE, values).scalar()
    return None if lease is None else (Claim(conversation_id, lease, holder), last_number(connection, conversation_id))


def last_number(connection: Connection, conversation_id: str) -> int:
    """The number of the conversation's last entry, 0 if it has none."""
    return connection.execute(LAST_NUMBER, {"conversation": conversation_id}).scalar() or 0


def append_entries(
    connection: Connection, index: WordIndex, *, claim: Claim, number: int, events: Sequence[Event]
) -> None:
    """Write events from entry `number` on; entry 1 creates the conversation.

    Raises `StoreError` if the claim is void.
    """
    now = time.time()
    if number == 1:
        row = {"id": claim.conversation_id, "started": now, "touched": now, "lease": claim.lease}
        connection.execute(BEGIN_CONVERSATION, row | {"holder": holder_to_json(claim.holder)})
    values = {"conversation": claim.conversation_id, "own_lease": claim.lease, "now": now}
    summary = _summarize(events)
    touch = TOUCH_AND_DESCRIBE if summary else TOUCH
    if connection.execute(touch, values | summary).rowcount != 1:
        raise StoreError(
            f"Conversation {claim.conversation_id} was taken over by another process, or deleted, while it was open "
            "here. Nothing was written. Open it again to continue."
        )
    insert_entries(connection, claim.conversation_id, number, [encode_event(event) for event in events])
    index_entries(connection, index, conversation_id=claim.conversation_id, events=enumerate(events, start=number))


def insert_entries(connection: Connection, conversation_id: str, number: int, bodies: Iterable[str]) -> None:
    """Write bodies from entry `number` on."""
    rows = [
        {"conversation_id": conversation_id, "number": position, "body": body}
        for position, body in enumerate(bodies, start=number)
    ]
    if rows:
        connection.execute(INSERT_ENTRIES, rows)


def rebuild_views(connection: Connection, index: WordIndex) -> None:
    """Rebuild everything that is derived from the log."""
    index.clear(connection)
    connection.execute(delete(turns))
    connection.execute(delete(commands))
    for id_, inherited in connection.execute(select(conversations.c.id, conversations.c.inherited)).all():
        query = select(entries.c.body).where(entries.c.conversation_id == id_).order_by(entries.c.number)
        events = [decode(body) for body in connection.scalars(query)]
        blank = update(conversations).where(conversations.c.id == id_)
        connection.execute(blank.values(turns=0))
        describe_conversation(connection, id_, events)
        index_entries(connection, index, conversation_id=id_, events=enumerate(events, start=1), inherited=inherited)


def describe_conversation(connection: Connection, conversation_id: str, events: Sequence[Event]) -> None:
    """Update the conversation's row from the events."""
    if summary := _summarize(events):
        connection.execute(DESCRIBE, {"conversation": conversation_id} | summary)


def index_entries(
    connection: Connection,
    index: WordIndex,
    *,
    conversation_id: str,
    events: Iterable[tuple[int, Event]],
    inherited: int = 0,
) -> None:
    """Derive rows from numbered entries; turns and commands of the first `inherited` ones are not counted."""
    for number, event in events:
        if words := words_in(searched_text(event)):
            index.add(connection, conversation_id, number, words)
        if number > inherited:
            _index_entry(connection, conversation_id, number, event)


def delete_conversation(connection: Connection, index: WordIndex, conversation_id: str) -> None:
    """Delete a conversation and everything derived from it."""
    index.remove(connection, conversation_id)
    for table in (entries, texts, turns, commands):
        connection.execute(delete(table).where(table.c.conversation_id == conversation_id))
    connection.execute(delete(conversations).where(conversations.c.id == conversation_id))


def _summarize(events: Sequence[Event]) -> dict[str, Any]:
    """The parameters of `DESCRIBE` for these events; empty if they change nothing."""
    begun = [event for event in events if isinstance(event, TurnStarted)]
    title = next(filter(None, map(title_in, events)), "")
    if not begun and not title:
        return {}
    return {"begun": len(begun), "last_model": pack(begun[-1].model) if begun else None, "new_title": pack(title)}


def _index_entry(connection: Connection, conversation_id: str, number: int, event: Event) -> None:
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
    """An invalid number from a model or a clock must not keep an event from being stored."""
    return seconds if math.isfinite(seconds) else 0.0


def _count(tokens: int) -> int:
    return min(max(tokens, 0), _LARGEST)


def _digest(call_id: str) -> str:
    return hashlib.blake2b(pack(call_id).encode(), digest_size=16).hexdigest()
