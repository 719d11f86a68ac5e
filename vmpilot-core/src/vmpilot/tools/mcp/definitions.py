"""The definitions of a server's tools as the model sees them: read, bounded, compared, and kept once approved."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from vmpilot.contract import ToolSpec, find_spec_fault
from vmpilot.contract.tool_specs import COMBINATORS
from vmpilot.tools.mcp.naming import cut, tool_name, visible, visible_line

if TYPE_CHECKING:
    from mcp_types import Tool as ListedTool

MOST_TOOLS = 100
"""Of one server, and of all together: providers take 128, and a model is lost long before."""
LONGEST_DESCRIPTION = 4_000
"""Characters."""

_WORDS = frozenset({"description", "title", "$comment"})
_DATA = frozenset({"const", "default", "enum", "examples"})


class Definition(msgspec.Struct, frozen=True):
    """A tool by the server's own name for it, with what the model is told."""

    name: str
    description: str
    parameters: dict[str, Any]

    def spec(self, server: str) -> ToolSpec:
        """The specification under the tool's full name."""
        return ToolSpec(tool_name(server, self.name), self.description, self.parameters)


class _Kept(msgspec.Struct, frozen=True):
    fingerprint: str
    tools: tuple[Definition, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a server lists (`listed`) beside what was approved."""

    approved: tuple[Definition, ...]
    listed: tuple[Definition, ...]

    @property
    def names(self) -> frozenset[str]:
        """The tools that are new, gone, or not what they were."""
        return frozenset(definition.name for definition in {*_frozen(self.approved)} ^ {*_frozen(self.listed)})

    @property
    def digest(self) -> str:
        """What tells these changes from others."""
        return hashlib.sha256(msgspec.json.encode((self.approved, self.listed), order="deterministic")).hexdigest()[:12]

    def describe(self) -> str:
        """All of it for a person, with nothing hidden or shortened."""
        before = {definition.name: definition for definition in self.approved}
        after = {definition.name: definition for definition in self.listed}
        return "\n".join(
            line for name in sorted(self.names) for line in _describe(name, before.get(name), after.get(name))
        )


class DefinitionFolder:
    """Keeps the approved definitions, a file for each server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, server: str, fingerprint: str) -> tuple[Definition, ...] | None:
        """What was approved for the server as it is configured now, None where nothing was or the file is broken."""
        try:
            kept = msgspec.json.decode(self._path(server).read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError):
            return None
        return kept.tools if kept.fingerprint == fingerprint else None

    def save(self, server: str, fingerprint: str, tools: tuple[Definition, ...]) -> None:
        """Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f".{server}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(_Kept(fingerprint, tools)), indent=1))
            Path(name).replace(self._path(server))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _path(self, server: str) -> Path:
        return self._folder / f"{server}.json"


def read_definitions(server: str, listed: Iterable[ListedTool]) -> tuple[tuple[Definition, ...], tuple[str, ...]]:
    """The tools that can be offered, and what is wrong with the others."""
    found: dict[str, Definition] = {}
    faults: list[str] = []
    for tool in listed:
        definition = _read(tool)
        if fault := _find_fault(definition, server, found):
            faults.append(f"its tool {cut(visible_line(tool.name), 80)} is left out: {fault}")
        else:
            found[tool.name] = definition
    return tuple(found.values()), tuple(faults)


def _read(tool: ListedTool) -> Definition:
    schema = {key: value for key, value in tool.input_schema.items() if key not in {"$schema", "$id", *COMBINATORS}}
    schema = {"type": "object", "properties": {}} | _visible_words(schema)
    description = cut(visible(tool.description or tool.title or tool.name), LONGEST_DESCRIPTION)
    return Definition(tool.name, description, schema)


def _find_fault(definition: Definition, server: str, others: Mapping[str, Definition]) -> str | None:
    if definition.name in others:
        return "there are two of that name"
    if len(others) >= MOST_TOOLS:
        return f"{MOST_TOOLS} tools are as many as are taken of one server"
    return find_spec_fault(definition.spec(server)) or _find_invalid(definition.parameters)


def _find_invalid(schema: dict[str, Any]) -> str | None:
    from jsonschema_rs import ValidationError, validator_for

    try:
        validator_for(schema, retriever=_refuse_to_fetch)
    except (ValidationError, ValueError) as error:
        return f"its parameters are no valid JSON Schema: {visible(str(error).splitlines()[0])[:200]}"
    return None


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"{address} is not fetched")


def _visible_words(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The schema, its texts for reading made visible; what it compares with stays as it is."""
    return {key: _visible_part(key, value, depth) for key, value in schema.items()}


def _visible_part(key: str, value: Any, depth: int) -> Any:
    if isinstance(value, str) and key in _WORDS:
        return visible(value)
    if key in _DATA or depth > 100:
        return value
    if isinstance(value, dict):
        return _visible_words(value, depth + 1)
    if isinstance(value, list):
        return [_visible_words(part, depth + 1) if isinstance(part, dict) else part for part in value]
    return value


@dataclass(frozen=True, slots=True)
class _Comparable:
    name: str
    content: bytes


def _frozen(definitions: Iterable[Definition]) -> Iterable[_Comparable]:
    return (
        _Comparable(definition.name, msgspec.json.encode(definition, order="deterministic"))
        for definition in definitions
    )


def _describe(name: str, before: Definition | None, after: Definition | None) -> Iterable[str]:
    shown = visible_line(name)
    if after is None:
        yield f"- {shown} is gone"
    elif before is None:
        yield f"+ {shown} is new"
        yield f"  description: {_indented(after.description)}"
        yield f"  parameters: {_json(after.parameters)}"
    else:
        yield f"* {shown} changed"
        for what, old, new in (
            ("description", _indented(before.description), _indented(after.description)),
            ("parameters", _json(before.parameters), _json(after.parameters)),
        ):
            if old != new:
                yield f"  {what} approved: {old}"
                yield f"  {what} now: {new}"


def _indented(text: str) -> str:
    """Text of a server, none of whose lines can be taken for one of ours."""
    return text.replace("\n", "\n    | ")


def _json(schema: dict[str, Any]) -> str:
    return visible(json.dumps(schema, ensure_ascii=False))
