"""The part of the strict check for `tools` and dependent parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Faults: TypeAlias = Iterator[str]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_TOOLS = 128


def tool_faults(body: Mapping[str, object]) -> Faults:
    """The faults in `tools`, `tool_choice` and `parallel_tool_calls` of a request."""
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                yield f"{name}: only allowed with tools"
        return
    if not isinstance(tools, list) or not 1 <= len(tools) <= _MOST_TOOLS:
        yield f"tools: must be a list of 1 to {_MOST_TOOLS} tools, or left out"
        return
    names: set[str] = set()
    for at, tool in enumerate(tools):
        yield from _spec_faults(f"tools[{at}]", tool, names)
    yield from _choice_faults(body.get("tool_choice"), names)


def _spec_faults(place: str, tool: object, names: set[str]) -> Faults:
    match tool:
        case {"type": "function", "function": {"name": str(name), **rest}} if NAME.fullmatch(name):
            if name in names:
                yield f"{place}.function.name: {name!r} is used twice"
            names.add(name)
            if not isinstance(rest.get("description", ""), str):
                yield f"{place}.function.description: must be a string"
            yield from _schema_faults(f"{place}.function.parameters", rest.get("parameters"))
        case _:
            yield f"{place}: must have type 'function' and a function whose name matches ^{NAME.pattern}$"


def _schema_faults(place: str, schema: object) -> Faults:
    if schema is None:
        return
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield f"{place}: must be a schema of type 'object'"
        return
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(isinstance(value, dict | bool) for value in properties.values()):
        yield f"{place}.properties: must be an object of schemas"
        return
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield f"{place}.required: must be a list of names"
    elif missing := [name for name in required if name not in properties]:
        yield f"{place}.required: {missing[0]!r:.60} is not among the properties"


def _choice_faults(choice: object, names: set[str]) -> Faults:
    match choice:
        case None | "none" | "auto" | "required":
            return
        case {"type": "function", "function": {"name": str(name)}}:
            if name not in names:
                yield f"tool_choice: {name!r:.60} is not among the tools"
        case _:
            yield "tool_choice: must be none, auto, required or a function"
