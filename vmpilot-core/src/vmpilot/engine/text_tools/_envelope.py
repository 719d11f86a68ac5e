"""Strictly parses the JSON of a call in a model's text; the arguments stay the string that the model wrote.

Names of members: OpenAI, Hermes (https://github.com/NousResearch/Hermes-Function-Calling), Llama 3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

NAME_KEYS = ("tool", "name", "tool_name", "function")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
PASSED_OVER = frozenset({"id", "type", "index"})

Members: TypeAlias = dict[str, str]
"""The members of an object, each value as written."""

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r'"(?:tool|name|tool_name|function)"\s*:\s*"([^"\\]{1,64})"')


class NoCall(ValueError):
    """The text is not a call."""


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call in an answer's text; `arguments` may be broken."""

    name: str
    arguments: str


def read_marked(text: str) -> list[FoundCall]:
    """The calls in a block that is certainly meant as one; at least one call.

    Unparsable content becomes a call that the toolbox rejects, so that the model learns of the error.
    """
    try:
        calls = [_read_lenient(raw) for raw in _objects(text)]
    except ValueError:
        return [broken_call(text)]
    except RecursionError:
        return [FoundCall("", text)]
    return calls or [FoundCall("", text)]


def read_unmarked(text: str) -> list[FoundCall]:
    """The calls in text that consists only of well-formed calls; raises `ValueError` or `RecursionError` otherwise."""
    calls = [_read_strict(raw) for raw in _objects(text)]
    if not calls:
        raise NoCall("no call")
    return calls


def broken_call(text: str) -> FoundCall:
    """A call for invalid JSON: with its apparent name, and the complete text as its arguments."""
    name = _NAME.search(text)
    return FoundCall(name[1] if name else "", text.strip())


def _objects(text: str) -> Iterator[str]:
    """Each object of the text, which consists of consecutive objects or arrays of objects."""
    at = _skip(text, 0)
    while at < len(text):
        start = at
        value, at = _DECODER.raw_decode(text, start)
        match value:
            case dict():
                yield text[start:at]
            case list():
                yield from _objects_of_array(text[start:at])
            case _:
                raise NoCall("neither an object nor an array")
        at = _skip(text, at)


def _objects_of_array(text: str) -> Iterator[str]:
    at = _skip(text, 1)
    while text[at] != "]":
        value, end = _DECODER.raw_decode(text, at)
        if not isinstance(value, dict):
            raise NoCall("an array with an element that is not an object")
        yield text[at:end]
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at


def _read_members(text: str) -> Members:
    """The members of the object in the text. Raises `ValueError` if a key is repeated."""
    members: Members = {}
    at = _skip(text, 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, start)
        if key in members:
            raise NoCall(f"{key} stands twice")
        members[key] = text[start:end]
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return members


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _read_strict(raw: str) -> FoundCall:
    members = _unwrapped(_read_members(raw))
    name, arguments = _name_in(members), _pop(members, ARGUMENT_KEYS)
    if arguments is None or members.keys() - PASSED_OVER:
        raise NoCall("more or less than a name and arguments")
    arguments = _unquoted(arguments)
    if not isinstance(json.loads(arguments), dict):
        raise NoCall("arguments that are not an object")
    return FoundCall(name, arguments)


def _read_lenient(raw: str) -> FoundCall:
    """Arguments may be next to the name; if both forms are present, the toolbox rejects them."""
    members = _unwrapped(_read_members(raw))
    name, arguments = _name_in(members), _pop(members, ARGUMENT_KEYS)
    beside = ", ".join(f"{json.dumps(key)}: {value}" for key, value in members.items() if key not in PASSED_OVER)
    if arguments is None:
        return FoundCall(name, f"{{{beside}}}")
    arguments = _unquoted(arguments)
    return FoundCall(name, f"{arguments}, {beside}" if beside else arguments)


def _unwrapped(members: Members) -> Members:
    """The content of OpenAI's `function` member, if the call has that form."""
    function = members.get("function", "")
    return _read_members(function) if function.startswith("{") else members


def _name_in(members: Members) -> str:
    raw = _pop(members, NAME_KEYS)
    name = None if raw is None else json.loads(raw)
    if not isinstance(name, str):
        raise NoCall("no name")
    return name


def _pop(members: Members, keys: tuple[str, ...]) -> str | None:
    key = next((key for key in keys if key in members), None)
    return None if key is None else members.pop(key)


def _unquoted(raw: str) -> str:
    """Arguments may be JSON in a string, as in OpenAI's format."""
    return str(json.loads(raw)) if raw.startswith('"') else raw
