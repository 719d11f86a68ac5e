"""Checks a chat completions request as the strictest provider would; a pure function, independent of HTTP.

The rules are the union of all observed rejections; no single provider enforces them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NoReturn, TypeAlias, TypeGuard

from vmpilot.testing.strict_tools import NAME, tool_faults

Faults: TypeAlias = Iterator[str]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_OPENING = frozenset({"system", "developer"})
_FOLLOWERS = {
    "system": {"user"},
    "developer": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"tool", "assistant"},
}
_NUMBERS = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
_COUNTS = ("max_tokens", "max_completion_tokens", "n")
_UNSENDABLE = re.compile("[\ud800-\udfff\0]")
_IMAGE = re.compile(r"https?://\S+|data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]+={0,2}", re.IGNORECASE)
_DETAILS = frozenset({None, "auto", "low", "high"})


def history_faults(body: Mapping[str, object]) -> tuple[str, ...]:
    """The faults in the body of a chat completions request, one sentence each; empty for a valid body.

    Messages: known roles in a valid order (one system message, first; then user and assistant alternate, starting with
    the user; the last message is the user's or a tool's), every tool call answered exactly once right after it. Also:
    content types, argument strings that contain a JSON object, names, ids, tools, ranges of numbers, and strings that
    every provider can store.
    """
    messages = body.get("messages")
    faults = [*_setting_faults(body), *_string_faults(body)]
    if not isinstance(messages, list) or not messages:
        return (*faults, "messages: must be a list with at least one message")
    faults += [f"messages[{at}]: must be an object" for at, message in enumerate(messages) if not _is_object(message)]
    known = [(f"messages[{at}]", message) for at, message in enumerate(messages) if isinstance(message, dict)]
    for place, message in known:
        faults += _message_faults(place, message)
    return (*faults, *_order_faults(known), *_pairing_faults(known))


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _setting_faults(body: Mapping[str, object]) -> Faults:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield "model: must be a name"
    yield from _stream_faults(body)
    for name, (low, high) in _NUMBERS.items():
        value = body.get(name)
        if value is not None and not (_is_number(value) and low <= value <= high):
            yield f"{name}: must be a number from {low} to {high}"
    for name in _COUNTS:
        value = body.get(name)
        if value is not None and not (type(value) is int and value >= 1):
            yield f"{name}: must be an integer of at least 1"
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield "max_tokens: not together with max_completion_tokens"
    yield from tool_faults(body)


def _stream_faults(body: Mapping[str, object]) -> Faults:
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        yield "stream: must be true or false"
    options = body.get("stream_options")
    if options is not None and stream is not True:
        yield "stream_options: only allowed with stream"
    elif options is not None and not _is_object(options):
        yield "stream_options: must be an object"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _string_faults(body: Mapping[str, object]) -> Faults:
    """Find lone surrogates and NUL anywhere; without recursion, because bodies may be deep."""
    left: list[tuple[str, object]] = [("", body)]
    while left:
        place, value = left.pop()
        if isinstance(value, str):
            if _UNSENDABLE.search(value):
                yield f"{place}: contains a lone surrogate or NUL"
        elif isinstance(value, dict):
            left += [(f"{place}.{ascii(key)[1:-1]}".lstrip("."), inner) for key, inner in value.items()]
            if any(_UNSENDABLE.search(key) for key in value):
                yield f"{place}: has a name with a lone surrogate or NUL"
        elif isinstance(value, list):
            left += [(f"{place}[{at}]", inner) for at, inner in enumerate(value)]


def _message_faults(place: str, message: Mapping[str, object]) -> Faults:
    content = message.get("content")
    match message.get("role"):
        case "system" | "developer" | "user" as role:
            yield from _content_faults(f"{place}.content", content, images=role == "user")
            if _is_blank(content):
                yield f"{place}.content: must not be empty"
        case "assistant":
            yield from _assistant_faults(place, message)
        case "tool":
            yield from _content_faults(f"{place}.content", content, images=False)
            if not _is_name(message.get("tool_call_id")):
                yield f"{place}.tool_call_id: must be a non-empty string"
        case role:
            yield f"{place}.role: unknown role {role!r:.40}"


def _is_blank(content: object) -> bool:
    return content == [] or (isinstance(content, str) and not content.strip())


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _assistant_faults(place: str, message: Mapping[str, object]) -> Faults:
    content = message.get("content")
    calls = message.get("tool_calls")
    if content is not None:
        yield from _content_faults(f"{place}.content", content, images=False)
    if calls is None:
        if content is None or _is_blank(content):
            yield f"{place}: has neither content nor tool_calls"
        return
    if not isinstance(calls, list) or not calls:
        yield f"{place}.tool_calls: must be a list with at least one call, or left out"
        return
    for at, call in enumerate(calls):
        yield from _call_faults(f"{place}.tool_calls[{at}]", call)


def _content_faults(place: str, content: object, *, images: bool) -> Faults:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        yield f"{place}: must be a string or a list of parts"
        return
    for at, part in enumerate(content):
        yield from _part_faults(f"{place}[{at}]", part, images=images)


def _part_faults(place: str, part: object, *, images: bool) -> Faults:
    match part:
        case {"type": "text", "text": str(text)}:
            if not text.strip():
                yield f"{place}.text: must not be empty"
        case {"type": "image_url", "image_url": {"url": str(url), **rest}} if images:
            if not _IMAGE.fullmatch(url):
                yield f"{place}.image_url.url: must be an http(s) URL or a base64 data URL of an image"
            if rest.get("detail") not in _DETAILS:
                yield f"{place}.image_url.detail: must be auto, low or high"
        case _:
            kinds = "text or image_url" if images else "text"
            yield f"{place}: must be a well-formed part of type {kinds}"


def _call_faults(place: str, call: object) -> Faults:
    match call:
        case {"type": "function", "function": dict(function), **rest}:
            if not _is_name(rest.get("id")):
                yield f"{place}.id: must be a non-empty string"
            name = function.get("name")
            if not isinstance(name, str) or not NAME.fullmatch(name):
                yield f"{place}.function.name: must match ^{NAME.pattern}$"
            yield from _argument_faults(f"{place}.function.arguments", function.get("arguments"))
        case _:
            yield f"{place}: must have type 'function' and a function object"


def _argument_faults(place: str, arguments: object) -> Faults:
    if not isinstance(arguments, str):
        yield f"{place}: must be a string"
        return
    try:
        parsed = json.loads(arguments, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        yield f"{place}: is not JSON"
        return
    if not isinstance(parsed, dict):
        yield f"{place}: is JSON, but not an object"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


Known: TypeAlias = Sequence[tuple[str, Mapping[str, object]]]
"""The messages that are objects, each with its position."""


def _order_faults(known: Known) -> Faults:
    for place, message in known[1:]:
        if message.get("role") in _OPENING:
            yield f"{place}: a {message['role']} message must be the only one, and first"
    spoken = [(place, message) for place, message in known if message.get("role") not in _OPENING]
    if not spoken:
        yield "messages: nothing for the model to answer"
        return
    first, (last, ending) = spoken[0], spoken[-1]
    if first[1].get("role") == "assistant":
        yield f"{first[0]}: the first message after the system's must be the user's, not the assistant's"
    for (_, before), (place, message) in pairwise(spoken):
        yield from _succession_faults(place, before.get("role"), message.get("role"))
    if ending.get("role") == "assistant":
        yield f"{last}: the last message must be the user's or a tool's, not the assistant's"


def _succession_faults(place: str, before: object, role: object) -> Faults:
    # A misplaced tool message is an orphan, which the pairing check reports.
    if before in _ROLES and role in _ROLES - {"tool"} and role not in _FOLLOWERS[str(before)]:
        yield f"{place}: {role} must not follow {before}"


def _pairing_faults(known: Known) -> Faults:
    seen: set[str] = set()
    waiting: dict[str, str] = {}
    for place, message in known:
        if message.get("role") == "tool":
            yield from _answer_faults(place, message.get("tool_call_id"), waiting, seen)
            continue
        yield from _unanswered_faults(waiting)
        waiting = {}
        for at, call_id in _call_ids(message):
            if call_id in seen:
                yield f"{place}.tool_calls[{at}].id: {call_id!r:.60} is used twice in this request"
            else:
                seen.add(call_id)
                waiting[call_id] = f"{place}.tool_calls[{at}]"
    yield from _unanswered_faults(waiting)


def _call_ids(message: Mapping[str, object]) -> Iterator[tuple[int, str]]:
    calls = message.get("tool_calls")
    if message.get("role") != "assistant" or not isinstance(calls, list):
        return
    for at, call in enumerate(calls):
        match call:
            case {"id": str(call_id)} if call_id:
                yield at, call_id


def _answer_faults(place: str, call_id: object, waiting: dict[str, str], seen: set[str]) -> Faults:
    if not isinstance(call_id, str) or not call_id:
        return
    if waiting.pop(call_id, None) is not None:
        return
    if call_id in seen:
        yield f"{place}: answers {call_id!r:.60} a second time, or not right after the call"
    else:
        yield f"{place}: answers {call_id!r:.60}, which no message before it calls"


def _unanswered_faults(waiting: Mapping[str, str]) -> Faults:
    for call_id, place in waiting.items():
        yield f"{place}: {call_id!r:.60} has no tool message right after the assistant's"
