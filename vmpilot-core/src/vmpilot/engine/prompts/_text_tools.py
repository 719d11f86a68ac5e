"""Describes the tools, and the form of calls, to a model without native tool calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from vmpilot.contract import ToolSpec

TEXT_TOOLS_REMINDER = "(If this is about the machine, call a tool; do not guess.)"
"""Appended to each request, because small models forget the system prompt."""

_PLACEHOLDERS: Mapping[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}


def text_tools_prompt(*, tools: tuple[ToolSpec, ...], word: str) -> str:
    """The description of the tools (at least one) and of how to call them; `word` starts a call."""
    template = files("vmpilot.engine.prompts").joinpath("text_tools.md").read_text(encoding="utf-8")
    return template.format(
        tools="\n\n".join(map(_description, tools)), word=word, example=_json(_example(tools[0]))
    ).strip()


def _description(tool: ToolSpec) -> str:
    return f"## `{tool.name}`\n\n{tool.description}\nSchema of its arguments: {_json(tool.parameters)}"


def _example(tool: ToolSpec) -> dict[str, Any]:
    """A sample call with the tool's required arguments."""
    properties = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", [])
    return {"tool": tool.name, "arguments": {name: _placeholder(properties.get(name)) for name in required}}


def _placeholder(schema: object) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return _PLACEHOLDERS.get(kind, "…") if isinstance(kind, str) else "…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=dict)
