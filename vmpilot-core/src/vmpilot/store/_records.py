"""The results of queries, as plain values."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from vmpilot.contract import Usage

CostBy: TypeAlias = Literal["day", "model", "conversation"]


class Chat(msgspec.Struct, frozen=True):
    """A conversation, in a list. Times are seconds since the epoch, `cost` is in US dollars.

    `cost` is the sum over the turns whose price is known; `unpriced` counts the others. `origin` is the conversation
    that this one was forked from. The first `inherited` entries were copied or imported; their cost is not counted.
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
    """An entry that contains the words, with an excerpt in one line."""

    conversation_id: str
    title: str
    number: int
    speaker: Literal["user", "assistant", "tool"]
    excerpt: str


class Cost(msgspec.Struct, frozen=True):
    """The usage of a day (`2026-01-31`, local time), a model or a conversation (by its id); `cost` is in US dollars.

    `cost` is the sum over the turns whose price is known; `unpriced` counts the others. `title` is a conversation's.
    """

    key: str
    title: str
    turns: int
    usage: Usage
    cost: float
    unpriced: int


class Command(msgspec.Struct, frozen=True):
    """A tool call that was allowed or denied. `command` is the shell's command line, for other tools the call's title.

    `denied_by` is the source of a denial, and empty if it was allowed. `exit_code` and `seconds` are None if they do
    not apply or no result was stored; `finished` tells these apart. `is_error` is also true for a call that was
    `interrupted` and may have partial effects.
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
