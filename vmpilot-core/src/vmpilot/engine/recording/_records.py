"""The lines of a recording: JSON Lines in ASCII, each a value of one of these types, `"type"` first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from vmpilot.contract import Event, Message, MessageCompleted, ToolSpec

RECORDING_VERSION = 1
"""Raised when a reader of the old form could misread the new one."""


class RecordingStarted(msgspec.Struct, frozen=True, tag="tape", tag_field="type"):
    """The first line; `vmpilot` is the version that created the recording."""

    vmpilot: str
    version: int = RECORDING_VERSION


class TurnAsked(msgspec.Struct, frozen=True, tag="turn", tag_field="type", omit_defaults=True):
    """A turn as requested from the backend. `messages` end with the user's; no key or address is included."""

    turn: str
    backend: str
    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    compaction: bool = False
    context_window: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class Exchange(msgspec.Struct, frozen=True, tag="exchange", tag_field="type", omit_defaults=True):
    """One call to the model and its answer, or the `error` in its place.

    The request consisted of the first `kept` messages of the turn's previous exchange, then `messages`. `system` is
    None if it is the turn's; a call without tools is for a summary.
    """

    turn: str
    model: str
    kept: int
    messages: tuple[Message, ...]
    system: str | None = None
    with_tools: bool = True
    answer: MessageCompleted | None = None
    error: str | None = None


class Seen(msgspec.Struct, frozen=True, tag="seen", tag_field="type"):
    """An event of the turn, as shown to front ends."""

    turn: str
    event: Event


Record: TypeAlias = RecordingStarted | TurnAsked | Exchange | Seen


def encode_record(record: Record, mask: Callable[[str], str]) -> bytes:
    """One line, with each text passed through `mask`."""
    return json.dumps(_masked(msgspec.to_builtins(record), mask), separators=(",", ":")).encode("ascii") + b"\n"


def decode_record(line: bytes) -> Record:
    """Raises `ValueError` (the base of `msgspec.ValidationError`) if it is not a line of a recording."""
    record: Record = msgspec.convert(json.loads(line), Record)
    return record


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _masked(inner, mask) for key, inner in value.items()}
        case list() | tuple():
            return [_masked(inner, mask) for inner in value]
        case _:
            return value
