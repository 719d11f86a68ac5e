"""The common rules of all providers for tools: a tool that breaks them would fail each request that offers it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vmpilot.contract.request import ToolSpec

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TEXT = re.compile(r"(?s:.*\S.*)")
COMBINATORS = ("anyOf", "oneOf", "allOf", "enum", "not")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DEEPEST = 40
_LONGEST_SCHEMA = 30_000


def find_spec_fault(spec: ToolSpec) -> str | None:
    """The fault of a specification, or None. It does not check that the schema itself is valid."""
    name, description, parameters = spec.name, spec.description, spec.parameters
    if not _is_like(_NAME, name):
        return "its name must be 1 to 64 letters, digits, _ or -"
    if not _is_like(_TEXT, description):
        return "its description is empty"
    return _find_size_fault(parameters) or _find_top_fault(parameters) or _find_inner_fault(parameters)


def _is_like(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _find_size_fault(schema: Any) -> str | None:
    try:
        size = len(json.dumps(dict(schema), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return "its parameters are not a JSON object"
    return (
        f"its parameters have {size:,} characters; the limit is {_LONGEST_SCHEMA:,}" if size > _LONGEST_SCHEMA else None
    )


def _find_top_fault(schema: Mapping[str, Any]) -> str | None:
    if schema.get("type") != "object":
        return 'its parameters are not the schema of an object ("type": "object")'
    if combined := [word for word in COMBINATORS if word in schema]:
        return f"its parameters have {combined[0]} at the top level, which providers reject"
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return "its properties are not a JSON object"
    if odd := [name for name in properties if not _is_like(_PROPERTY, name)]:
        return f"its parameter {str(odd[0])[:80]!r} has a name that providers reject (1 to 64 letters, digits, _ . -)"
    return None


def _find_inner_fault(schema: Mapping[str, Any]) -> str | None:
    for depth, part in _parts(schema):
        if depth > _DEEPEST:
            return f"its parameters are nested more than {_DEEPEST} deep"
        if any(not part[word].startswith("#") for word in _REFERENCES if isinstance(part.get(word), str)):
            return "its parameters refer to another document, which is never fetched"
        if isinstance(part.get("$id"), str) or isinstance(part.get("$schema"), str):
            return "its parameters contain $schema or $id; remove them"
    return None


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every JSON object in the schema, with its depth."""
    waiting: list[tuple[int, Any]] = [(0, schema)]
    while waiting:
        depth, part = waiting.pop()
        if isinstance(part, Mapping):
            yield depth, part
            waiting += ((depth + 1, value) for value in part.values())
        elif isinstance(part, list | tuple):
            waiting += ((depth + 1, value) for value in part)
