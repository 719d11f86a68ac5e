"""What the views of the log give to front ends: plain values."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from vmpilot.contract import Usage

CostBy: TypeAlias = Literal["day", "model", "conversation"]


class Chat(msgspec.Struct, frozen=True):
    """A conversation, in a list. Times are seconds since the epoch, `cost` is in US dollars.

    `cost` adds up the turns whose price is known; `unpriced` counts the others. `origin` is the conversation that this
    one is a fork of. The first `inherited` entries were copied or imported: what they cost counts where it happened.
    """

    id: str
    title: str
    started: float
    touched: float
    turns: int
    model: str
    cost: float
    unpriced: int
    origin: str | None
    inherited: int


class Hit(msgspec.Struct, frozen=True):
    """An entry that has the words, with their surroundings in one line."""

    conversation_id: str
    title: str
    number: int
    speaker: Literal["user", "assistant", "tool"]
    excerpt: str


class Cost(msgspec.Struct, frozen=True):
    """What the turns of a day (`2026-01-31`, local time), a model or a conversation (its id) used, in US dollars.

    `cost` adds up the turns whose price is known; `unpriced` counts the others. `title` is a conversation's.
    """

    key: str
    title: str
    turns: int
    usage: Usage
    cost: float
    unpriced: int


class Command(msgspec.Struct, frozen=True):
    """A tool call that was allowed or denied. `command` is what the shell was given, for another tool its title.

    `denied_by` says who denied it, and is empty for one that was allowed. `exit_code` and `seconds` are None where it
    has none, or where no result was stored: `finished` tells which. `is_error` is true too for one that was
    `interrupted` and may have run in part.
    """

    conversation_id: str
    number: int
    time: float
    tool: str
    command: str
    folder: str | None
    allowed_by: str
    finished: bool
    exit_code: int | None
    seconds: float | None
    is_error: bool
    denied_by: str = ""
    interrupted: bool = False
