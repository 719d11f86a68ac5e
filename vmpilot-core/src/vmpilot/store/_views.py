"""Queries of the log: lists, search, cost and audit. They only read, on the caller's connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Literal

from sqlalchemy import Connection, Exists, Row, exists, func, or_, select, text

from vmpilot.contract import Event, HistoryImported, ToolCall, ToolFinished, ToolStarted, TurnStarted, Usage
from vmpilot.store._codec import decode, unpack
from vmpilot.store._records import Chat, Command, Cost, CostBy, Hit
from vmpilot.store._schema import commands, conversations, entries, turns
from vmpilot.store._text import excerpt, searched_text
from vmpilot.store._word_index import WordIndex

_FAILED = '{"type":"turn_ended","reason":"failed"'
_STARTED = '{"type":"turn_started"'
"""The first characters of these entries; `encode_event` writes the members in this order."""


def list_chats(
    connection: Connection, *, limit: int | None = None, ids: Sequence[str] | None = None, failed: bool = True
) -> list[Chat]:
    """The conversations, most recently used first; all of them, or those with these ids.

    Without `failed`, conversations in which every request failed are omitted, unless they were imported or forked.
    """
    spent = (
        select(turns.c.conversation_id, func.sum(turns.c.cost).label("cost"), func.count().label("own"))
        .add_columns(func.count(turns.c.cost).label("priced"))
        .group_by(turns.c.conversation_id)
        .subquery()
    )
    query = (
        select(conversations, spent.c.cost, (spent.c.own - spent.c.priced).label("unpriced"))
        .outerjoin(spent, spent.c.conversation_id == conversations.c.id)
        .order_by(conversations.c.touched.desc(), conversations.c.id)
        .limit(limit)
    )
    if ids is not None:
        query = query.where(conversations.c.id.in_(ids))
    if not failed:
        query = query.where(or_(~_has(_FAILED), conversations.c.inherited > 0, _has_other_than(_STARTED, _FAILED)))
    return [_chat(row) for row in connection.execute(query)]


def _has(beginning: str) -> Exists:
    """Whether an entry of the conversation starts like this."""
    here = entries.c.conversation_id == conversations.c.id
    return exists().where(here, entries.c.body.startswith(beginning, autoescape=True))


def _has_other_than(*beginnings: str) -> Exists:
    here = entries.c.conversation_id == conversations.c.id
    return exists().where(here, *(~entries.c.body.startswith(one, autoescape=True) for one in beginnings))


def read_events(connection: Connection, conversation_id: str) -> tuple[Event, ...]:
    """A conversation's entries, oldest first."""
    query = select(entries.c.body).where(entries.c.conversation_id == conversation_id).order_by(entries.c.number)
    return tuple(map(decode, connection.scalars(query)))


def search_entries(connection: Connection, index: WordIndex, words: Sequence[str], *, limit: int) -> list[Hit]:
    """The entries that contain, for each of `words`, a word that starts with it; newest first.

    A fork's copies are omitted as long as the original conversation exists.
    """
    query = f"""
        SELECT texts.conversation_id, texts.number, conversations.title, entries.body
        FROM texts JOIN conversations ON conversations.id = texts.conversation_id
        JOIN entries ON entries.conversation_id = texts.conversation_id AND entries.number = texts.number
        {index.matches}
        WHERE texts.number > conversations.inherited
        OR NOT EXISTS (SELECT 1 FROM conversations older WHERE older.id = conversations.origin)
        ORDER BY texts.id DESC LIMIT :limit
    """  # noqa: S608  only constants of the index are inserted
    found = connection.execute(text(query), {"query": index.query(words), "limit": limit})
    return [_hit(id_, number, unpack(title), decode(body), list(words)) for id_, number, title, body in found]


def add_up_costs(connection: Connection, by: CostBy, *, since: float = 0.0) -> list[Cost]:
    """The cost of the turns since then, ordered by key; by conversation, the most expensive first."""
    query = (
        select(turns, conversations.c.title)
        .join(conversations, conversations.c.id == turns.c.conversation_id)
        .where(turns.c.started >= since)
    )
    rows = sorted(connection.execute(query), key=lambda row: _cost_key(row, by))
    costs = [_cost(key, list(group), by) for key, group in groupby(rows, key=lambda row: _cost_key(row, by))]
    return sorted(costs, key=lambda cost: -cost.cost) if by == "conversation" else costs


def list_commands(
    connection: Connection, *, limit: int | None = None, conversation_id: str | None = None
) -> list[Command]:
    """The last `limit` commands that were started or denied, oldest first."""
    begun, ended = entries.alias(), entries.alias()
    query = (
        select(commands.c.conversation_id, commands.c.number, begun.c.body, ended.c.body)
        .join(begun, (begun.c.conversation_id == commands.c.conversation_id) & (begun.c.number == commands.c.number))
        .outerjoin(
            ended, (ended.c.conversation_id == commands.c.conversation_id) & (ended.c.number == commands.c.finished)
        )
        .order_by(commands.c.started.desc(), commands.c.conversation_id, commands.c.number.desc())
        .limit(limit)
    )
    if conversation_id is not None:
        query = query.where(commands.c.conversation_id == conversation_id)
    found = [_command(*row) for row in connection.execute(query)]
    return found[::-1]


def _chat(row: Row[tuple[object, ...]]) -> Chat:
    return Chat(
        id=row.id,
        title=unpack(row.title),
        started=row.started,
        touched=row.touched,
        turns=row.turns,
        model=unpack(row.model),
        cost=row.cost or 0.0,
        unpriced=row.unpriced or 0,
        origin=row.origin,
        inherited=row.inherited,
    )


def _hit(conversation_id: str, number: int, title: str, event: Event, words: list[str]) -> Hit:
    speaker: Literal["user", "assistant", "tool"] = "assistant"
    match event:
        case TurnStarted() | HistoryImported():
            speaker = "user"
        case ToolStarted() | ToolFinished():
            speaker = "tool"
        case _:
            pass
    return Hit(conversation_id, title, number, speaker, excerpt(searched_text(event), words))


def _cost_key(row: Row[tuple[object, ...]], by: CostBy) -> str:
    match by:
        case "day":
            return datetime.fromtimestamp(row.started).astimezone().date().isoformat()
        case "model":
            return unpack(row.model)
        case "conversation":
            return str(row.conversation_id)


def _cost(key: str, rows: Iterable[Row[tuple[object, ...]]], by: CostBy) -> Cost:
    rows = list(rows)
    usage = sum(
        (Usage(row.input_tokens, row.output_tokens, row.cached_tokens, row.reasoning_tokens) for row in rows), Usage()
    )
    return Cost(
        key=key,
        title=unpack(rows[0].title) if by == "conversation" else "",
        turns=len(rows),
        usage=usage,
        cost=sum(row.cost or 0.0 for row in rows),
        unpriced=sum(row.cost is None for row in rows),
    )


def _command(conversation_id: str, number: int, begun: str, ended: str | None) -> Command:
    start, finish = decode(begun), None if ended is None else decode(ended)
    result = finish if isinstance(finish, ToolFinished) else None
    denied = start.denied if isinstance(start, ToolFinished) else None
    allowed = start if isinstance(start, ToolStarted) else None
    asked = denied or allowed
    assert asked is not None, "commands are derived from the starts of tools, and from denials"  # noqa: S101
    return Command(
        conversation_id=conversation_id,
        number=number,
        time=asked.time,
        tool=asked.call.name,
        command=_command_line(asked.call) or asked.title,
        folder=asked.folder,
        allowed_by="" if allowed is None else allowed.allowed_by,
        finished=result is not None,
        exit_code=result.exit_code if result else None,
        seconds=result.seconds if result else None,
        is_error=result.result.is_error if result else True,
        denied_by="" if denied is None else denied.denied_by,
        interrupted=result.interrupted if result else False,
    )


def _command_line(call: ToolCall) -> str | None:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return None
    command = arguments.get("command") if isinstance(arguments, dict) else None
    return command if isinstance(command, str) else None
