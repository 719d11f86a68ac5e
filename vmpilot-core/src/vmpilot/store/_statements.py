"""The statements of an append and of opening for writing, made once: to build one takes longer than to carry it out."""

from __future__ import annotations

from sqlalchemy import Text, bindparam, case, func, insert, select, update

from vmpilot.store._codec import pack
from vmpilot.store._schema import commands, conversations, entries, turns

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

_TOLD = {
    "turns": conversations.c.turns + bindparam("begun"),
    "model": func.coalesce(bindparam("last_model", type_=Text), conversations.c.model),
    "title": case((_UNTITLED, bindparam("new_title", type_=Text)), else_=conversations.c.title),
}
_OURS = conversations.c.lease == bindparam("own_lease")

TOUCH = update(conversations).where(_HERE, _OURS).values(touched=bindparam("now"))
"""Changes no row where the lease is another's by now."""
TOUCH_AND_DESCRIBE = TOUCH.values(_TOLD)
DESCRIBE = update(conversations).where(_HERE).values(_TOLD)

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
