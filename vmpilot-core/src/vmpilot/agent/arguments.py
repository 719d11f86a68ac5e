"""Read a tool call's arguments strictly: what is doubtful is refused with words that help the model to mend it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema_rs import Validator

SIZE_LIMIT = 1_000_000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""Characters of one call's arguments."""


class ArgumentsProblem(Exception):
    """The arguments cannot be used; the message is for the model."""


def read_arguments(raw: str) -> dict[str, Any]:
    """The JSON object in `raw`; an empty string is an object without members.

    Raises `ArgumentsProblem` for everything else: broken, cut or doubtful JSON is never completed or guessed at.
    """
    if len(raw) > SIZE_LIMIT:
        raise ArgumentsProblem(f"the arguments have {len(raw):,} characters; at most {SIZE_LIMIT:,} are taken")
    try:
        value = json.loads(raw or "{}", object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise ArgumentsProblem(f"the arguments are no valid JSON object ({_reason(error)})") from error
    if not isinstance(value, dict):
        raise ArgumentsProblem(f"the arguments are a JSON {type(value).__name__}, not an object")
    if _NUL.search(text) or not _is_text(text):
        raise ArgumentsProblem("the arguments hold NUL or half a character, which no program takes")
    return value


class ArgumentsCheck:
    """Checks arguments against a JSON Schema, which is made ready once, at the first check."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def __call__(self, arguments: Mapping[str, Any]) -> None:
        """Raises `ArgumentsProblem` naming each place where the arguments do not fit."""
        faults = [
            f"{'/'.join(map(str, fault.instance_path)) or 'the arguments'}: {fault.message}"
            for fault in self._validator.iter_errors(dict(arguments))
        ]
        if faults:
            raise ArgumentsProblem("the arguments do not fit the tool: " + "; ".join(faults[:5]))

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema_rs import validator_for

        return validator_for(dict(self._schema))


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)
