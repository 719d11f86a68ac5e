"""Events and short texts to and from the ASCII JSON in which they are stored."""

from __future__ import annotations

import json

import msgspec

from vmpilot.contract import Event, decode_event

_EVENTS = msgspec.json.Decoder(Event)


def decode(body: str) -> Event:
    """`decode_event`, ten times as fast for text that UTF-8 can encode. Raises `ValueError` if it is not an event."""
    try:
        event: Event = _EVENTS.decode(body)
    except msgspec.DecodeError:  # a lone surrogate or an infinite number, which only the slow decoder accepts
        return decode_event(body)
    return event


def pack(text: str) -> str:
    """Text in a form that every database accepts."""
    return json.dumps(text)


def unpack(packed: str) -> str:
    """The text that `pack` encoded."""
    text: str = json.loads(packed)
    return text
