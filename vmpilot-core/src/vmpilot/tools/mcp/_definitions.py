"""The definitions of a server's tools as the model sees them: read, bounded, compared, and stored once approved."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from vmpilot.contract import ToolSpec, find_spec_fault
from vmpilot.contract.tool_specs import COMBINATORS
from vmpilot.tools.mcp._naming import cut, tool_name, visible, visible_line
from vmpilot.tools.mcp._wire import describe_value

MOST_TOOLS = 100
"""Per server, and of all together: providers accept 128, and models cope with fewer."""
LONGEST_DESCRIPTION = 4_000
"""Characters."""

_WORDS = frozenset({"description", "title", "$comment"})
_DATA = frozenset({"const", "default", "enum", "examples"})


class Definition(msgspec.Struct, frozen=True):
    """A tool under the server's name for it, as the model sees it."""

    name: str
    description: str
    parameters: dict[str, Any]

    def spec(self, server: str) -> ToolSpec:
        """The specification under the tool's full name."""
        return ToolSpec(tool_name(server, self.name), self.description, self.parameters)


class Kept(msgspec.Struct, frozen=True):
    """The stored state of a server: the approved definitions, and the faults of its tool list."""

    fingerprint: str
    tools: tuple[Definition, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """The listed tools of a server (`listed`), compared with the approved ones."""

    approved: tuple[Definition, ...]
    listed: tuple[Definition, ...]

    @property
    def names(self) -> frozenset[str]:
        """The tools that are new, gone or changed."""
        approved, listed = (
            {(definition.name, msgspec.json.encode(definition, order="deterministic")) for definition in definitions}
            for definitions in (self.approved, self.listed)
        )
        return frozenset(name for name, _ in approved ^ listed)

    @property
    def digest(self) -> str:
        """Identifies these changes."""
        return hashlib.sha256(msgspec.json.encode((self.approved, self.listed), order="deterministic")).hexdigest()[:12]

    def describe(self) -> str:
        """The complete changes for the user, with nothing hidden or shortened."""
        before = {definition.name: definition for definition in self.approved}
        after = {definition.name: definition for definition in self.listed}
        return "\n".join(
            line for name in sorted(self.names) for line in _describe(name, before.get(name), after.get(name))
        )


class DefinitionFolder:
    """Stores the approved definitions, one file per server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, server: str, fingerprint: str) -> Kept | None:
        """The stored state for the server's current configuration, or None if it is missing or the file is corrupt."""
        try:
            kept = msgspec.json.decode(self._path(server).read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return None
        return kept if kept.fingerprint == fingerprint else None

    def save(self, server: str, kept: Kept) -> None:
        """Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f".{server}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(kept), indent=1))
            Path(name).replace(self._path(server))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _path(self, server: str) -> Path:
        return self._folder / f"{server}.json"


def read_definitions(server: str, listed: Iterable[Any]) -> tuple[tuple[Definition, ...], tuple[str, ...]]:
    """The usable tools in a server's list, and a sentence for each skipped tool."""
    found: dict[str, Definition] = {}
    faults: list[str] = []
    for number, tool in enumerate(listed, 1):
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str):
            faults.append(f"entry {number} of its tool list is skipped: it is not an object with a name")
            continue
        try:
            schema = _visible_words(object_schema(tool.get("inputSchema")))
            words = (tool.get("description"), tool.get("title"), name)
            description = next((word for word in words if isinstance(word, str) and word.strip()), "")
            definition = Definition(name, cut(visible(description), LONGEST_DESCRIPTION), schema)
            fault = _find_fault(definition, server, found)
        except ValueError as error:
            fault = str(error)
        if fault:
            faults.append(f"its tool {cut(visible_line(name), 80)} is skipped: {fault}")
        else:
            found[name] = definition
    return tuple(found.values()), tuple(faults)


def object_schema(schema: Any) -> dict[str, Any]:
    """A tool's `inputSchema` as the schema of an object, because arguments always are one.

    Fills in missing types, and reads empty lists as empty objects, as PHP writes them. Raises `ValueError` with a
    sentence if the schema says something else.
    """
    if schema is None or schema is True or schema == []:
        schema = {}
    if not isinstance(schema, dict):
        raise ValueError(f"its parameters are {describe_value(schema)} instead of a schema")  # noqa: TRY004  its kind of error
    kind = schema.get("type")
    if kind is not None and kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise ValueError(f"its parameters have {describe_value(kind)} as type instead of object")
    kept = {key: part for key, part in schema.items() if key not in {"$schema", "$id", *COMBINATORS}}
    if kept.get("properties") in (None, []):
        kept["properties"] = {}
    if kept.get("required", ()) is None:
        del kept["required"]
    return {"type": "object", "properties": {}} | kept | {"type": "object"}


def _find_fault(definition: Definition, server: str, others: Mapping[str, Definition]) -> str | None:
    if definition.name in others:
        return "its name is a duplicate"
    if len(others) >= MOST_TOOLS:
        return f"a server may have at most {MOST_TOOLS} tools"
    if fault := find_spec_fault(definition.spec(server)):
        return fault
    from jsonschema_rs import ValidationError, validator_for

    try:
        validator_for(definition.parameters, retriever=_refuse_to_fetch)
    except (ValidationError, ValueError) as error:
        return f"its parameters are not a valid JSON Schema: {visible(str(error).splitlines()[0])[:200]}"
    return None


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"{address} is not fetched")


def _visible_words(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The schema with hidden characters in its descriptions made visible; values used for comparison stay unchanged."""
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
    """Text of a server, indented so that no line looks like one of VMPilot's."""
    return text.replace("\n", "\n    | ")


def _json(schema: dict[str, Any]) -> str:
    return visible(json.dumps(schema, ensure_ascii=False))
