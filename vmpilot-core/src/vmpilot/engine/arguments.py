"""Parse a tool call's arguments strictly: doubtful input is rejected with an error that helps the model fix it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jsonschema_rs import Validator

SIZE_LIMIT = 1_000_000
"""Bytes of one call's arguments."""
DEPTH_LIMIT = 100
"""Maximum nesting depth of objects and lists."""

_DIGITS = 100
_QUOTED = 300
"""Characters quoted of one mismatch; the offending value may be long."""
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class ArgumentsProblem(Exception):
    """The arguments cannot be used; the message is for the model."""


def read_arguments(raw: str) -> dict[str, Any]:
    """The JSON object in `raw`; an empty string is an object without members.

    Raises `ArgumentsProblem` for everything else: broken, truncated or doubtful JSON is never completed or guessed.
    """
    size = len(raw) if raw.isascii() else len(raw.encode("utf-8", "surrogatepass"))
    if size > SIZE_LIMIT:
        raise ArgumentsProblem(f"the arguments have {size:,} bytes; the limit is {SIZE_LIMIT:,}")
    try:
        value = _parse(raw or "{}")
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise ArgumentsProblem(f"the arguments are not a valid JSON object ({_reason(error)})") from error
    if not isinstance(value, dict):
        raise ArgumentsProblem(f"the arguments are a JSON {type(value).__name__}, not an object")
    if _NUL.search(text) or not _is_text(text):
        raise ArgumentsProblem("the arguments contain NUL or an unpaired surrogate, which no program accepts")
    return value


class ArgumentsCheck:
    """Checks arguments against a JSON Schema, which is compiled at the first check."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def __call__(self, arguments: Mapping[str, Any]) -> None:
        """Raises `ArgumentsProblem`, which lists each mismatch."""
        faults = [
            _shorten(f"{'/'.join(map(str, fault.instance_path)) or 'the arguments'}: {fault.message}")
            for fault in self._validator.iter_errors(dict(arguments))
        ]
        if faults:
            raise ArgumentsProblem("the arguments do not match the tool's schema: " + "; ".join(faults[:5]))

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema_rs import validator_for

        return validator_for(dict(self._schema), retriever=_refuse_to_fetch)


def _parse(text: str) -> Any:
    value = json.loads(
        text,
        object_pairs_hook=_without_doubles,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_short,
    )
    _check_depth(value)
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is repeated in one object")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return number


def _short(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    layer, depth = [value], 0
    while layer := [each for each in layer if isinstance(each, dict | list)]:
        depth += 1
        if depth > DEPTH_LIMIT:
            raise RecursionError
        layer = [inner for each in layer for inner in (each.values() if isinstance(each, dict) else each)]


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"{address} is not fetched")


def _shorten(text: str) -> str:
    if len(text) <= _QUOTED:
        return text
    half = _QUOTED // 2
    return f"{text[:half]} … {text[-half:]}"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)
