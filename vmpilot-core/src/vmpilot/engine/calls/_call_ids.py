"""Ids of tool calls in the form that a provider accepts. Pure functions over messages; the stored ids never change."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Mapping
from itertools import count

import msgspec

from vmpilot.contract import AssistantMessage, IdForm, Message, ToolResult

_DIGITS = string.digits + string.ascii_letters
_MADE = 22
"""Length of a generated id if the form allows it: as many bits as a UUID."""


def translate_ids(messages: Iterable[Message], form: IdForm) -> dict[str, str]:
    """An id that the form accepts for each id in the messages, no two the same.

    An acceptable id is kept, unless an earlier id was already translated to it. The translation of an id depends only
    on that id and those before it, so it stays the same as the conversation grows.
    """
    translation: dict[str, str] = {}
    taken: set[str] = set()
    for message in messages:
        for call_id in _ids_in(message):
            if call_id not in translation:
                translation[call_id] = new = _translate(call_id, form, taken)
                taken.add(new)
    return translation


def with_translated_ids(messages: Iterable[Message], translation: Mapping[str, str]) -> tuple[Message, ...]:
    """The messages with translated ids in their calls and results."""
    return tuple(_with_ids(message, translation) for message in messages)


def _ids_in(message: Message) -> Iterable[str]:
    match message:
        case AssistantMessage():
            return [call.id for call in message.tool_calls]
        case ToolResult():
            return [message.call_id]
        case _:
            return ()


def _with_ids(message: Message, translation: Mapping[str, str]) -> Message:
    if all(translation.get(call_id, call_id) == call_id for call_id in _ids_in(message)):
        return message
    match message:
        case AssistantMessage():
            calls = tuple(
                msgspec.structs.replace(call, id=translation.get(call.id, call.id)) for call in message.tool_calls
            )
            return msgspec.structs.replace(message, tool_calls=calls)
        case ToolResult():
            return msgspec.structs.replace(message, call_id=translation[message.call_id])
        case _:
            return message


def _translate(call_id: str, form: IdForm, taken: set[str]) -> str:
    if form.accepts(call_id) and call_id not in taken:
        return call_id
    return next(made for salt in count() if (made := _make(call_id, form, salt)) not in taken)


def _make(call_id: str, form: IdForm, salt: int) -> str:
    """Digits and letters derived from the id that look random."""
    size = form.longest if form.exact else min(form.longest, _MADE)
    seed = f"{salt} {call_id}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.shake_256(seed).digest(size), "big")
    return "".join(_DIGITS[number // len(_DIGITS) ** place % len(_DIGITS)] for place in range(size))
