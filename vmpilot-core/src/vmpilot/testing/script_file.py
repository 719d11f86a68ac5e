"""A script as a file: JSON or TOML, decoded into the values of `vmpilot.testing.script`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec

from vmpilot.testing.script import Step


class ScriptFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of a script file; the same settings are available as command-line options.

    In TOML: `[[steps]]`, then `type = "reply"` (or `http_error`, `drop`, `stall`, `raw`, `flood`,
    `wire`) and the members of that step.
    """

    steps: tuple[Step, ...]
    strict: bool = True
    repeat_last: bool = False
    models: tuple[str, ...] = ("scripted",)


def read_script(path: Path) -> ScriptFile:
    """Read a script; a JSON file may also be just the list of its steps.

    Raises OSError if it cannot be read, ValueError if it is neither JSON nor TOML or is not a script.
    """
    text = path.read_text(encoding="utf-8")
    # The standard library's parser, because msgspec's rejects lone surrogates, which a script may want to send.
    content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    described = {"steps": content} if isinstance(content, list) else content
    try:
        return msgspec.convert(described, ScriptFile)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path} is not a valid script: {error}") from error
