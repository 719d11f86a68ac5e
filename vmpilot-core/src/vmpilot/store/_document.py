"""A conversation as one JSON document, to archive or to move elsewhere. The format is versioned."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from vmpilot.contract import WIRE_VERSION, Event, TurnStarted, UsageError, decode_event, encode_event
from vmpilot.store._text import title_from

FORMAT = 1
GOOD_ID = re.compile(r"[0-9a-z]{1,32}")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An exported conversation. Times are seconds since the epoch; `events` are the log's entries."""

    vmpilot_conversation: int = FORMAT
    wire_version: int = WIRE_VERSION
    id: str
    title: str
    started: float
    touched: float
    events: list[dict[str, Any]]


class Imported(msgspec.Struct, frozen=True):
    """A valid document."""

    id: str
    title: str
    started: float
    touched: float
    events: tuple[Event, ...]


def write_document(
    events: tuple[Event, ...], *, conversation_id: str, title: str, started: float, touched: float
) -> str:
    """The document's JSON, one entry a line, all in ASCII."""
    head = {"vmpilot_conversation": FORMAT, "wire_version": WIRE_VERSION, "id": conversation_id, "title": title}
    opening = json.dumps(head | {"started": started, "touched": touched})[:-1]
    return f'{opening}, "events": [\n' + ",\n".join(map(encode_event, events)) + "\n]}\n"


def read_document(data: str | bytes) -> Imported:
    """Read a document. Raises `UsageError` if it is invalid or from a newer version."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Not an exported conversation: invalid JSON ({error})") from error
    version = raw.get("vmpilot_conversation") if isinstance(raw, dict) else None
    if not isinstance(version, int):
        raise UsageError("Not an exported conversation. Create one with `vmpilot chats export ID --format json`.")
    if version > FORMAT or _newer_events(raw):
        raise UsageError("This conversation was exported by a newer VMPilot. Upgrade vmpilot-core.")
    try:
        document = msgspec.convert(raw, Document)
        events = tuple(_without_terms(decode_event(json.dumps(event))) for event in document.events)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"This exported conversation is damaged: {error}") from error
    if not (math.isfinite(document.started) and math.isfinite(document.touched)):
        raise UsageError("This exported conversation is damaged: its times are not numbers.")
    if not events:
        raise UsageError("This exported conversation is empty.")
    return Imported(
        document.id if GOOD_ID.fullmatch(document.id) else "",
        title_from(document.title),
        document.started,
        document.touched,
        events,
    )


def _without_terms(event: Event) -> Event:
    """Another machine must not decide which model is used next, at which address, or in which mode."""
    return msgspec.structs.replace(event, terms=None) if isinstance(event, TurnStarted) else event


def _newer_events(raw: dict[str, Any]) -> bool:
    version = raw.get("wire_version")
    return isinstance(version, int) and version > WIRE_VERSION
