"""Merge the sources of settings: defaults < user's file < project's file < environment < options."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from vmpilot.config.environment import VARIABLES, Environment
from vmpilot.config.settings import PROJECT_KEYS, Settings, Sourced
from vmpilot.contract import Secret, UsageError

PROJECT_FILE = ".vmpilot.toml"

DESCRIPTIONS = {
    name: kind
    for names, kind in [
        ("backend model langchain_model litellm_model base_url api_key", "a string"),
        ("temperature", "a number from 0 to 2"),
        ("max_tokens max_steps attempts", "a whole number above 0"),
        ("seed", "a whole number"),
        ("tool_output_lines", "a whole number, 0 or more"),
        ("reasoning_effort", "one of minimal, low, medium, high"),
        ("mode", "one of observe, operate, full"),
        ("connect_timeout first_content_timeout gap_timeout call_timeout", "a number of seconds above 0"),
        ("retry_seconds", "a number of seconds, 0 or more"),
        ("pass_environment", "a list of names of variables"),
        ("database_url", "a URL like postgresql://user:password@host/database"),
    ]
    for name in names.split()
}

"""What each setting takes, in words."""

_SECRETS = {"api_key", "database_url"}
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def load_settings(environment: Environment, *, folder: Path, options: Mapping[str, tuple[Any, str]]) -> Sourced:
    """The settings for work in `folder`; `options` are key to (value, the option's name).

    Raises `UsageError` naming the file, variable or option, the key and the type that it takes.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, (value, origin) in _in_order(environment, folder, options):
        values[key] = _converted(key, value, origin)
        origins[key] = origin
    return Sourced(Settings(**values), origins)


def _in_order(
    environment: Environment, folder: Path, options: Mapping[str, tuple[Any, str]]
) -> list[tuple[str, tuple[Any, str]]]:
    found = list(_from_file(environment.user_file).items())
    if project := find_project_file(folder):
        found += _from_project(project).items()
    found += environment.values().items()
    return found + list(options.items())


def find_project_file(folder: Path) -> Path | None:
    """The nearest project file in the folder or above it, up to the root of a git repository."""
    for candidate in (folder, *folder.parents):
        try:
            if (candidate / PROJECT_FILE).is_file():
                return candidate / PROJECT_FILE
            if (candidate / ".git").exists():
                return None
        except PermissionError:  # a folder that we may work below, but not look into
            return None
    return None


def _from_project(path: Path) -> dict[str, tuple[Any, str]]:
    values = _from_file(path)
    if str(values.get("model", ("", ""))[0]).startswith("local:"):
        raise UsageError(f"{path}: a project's file may not name a file of weights: use --model")
    for key in values:
        if key not in PROJECT_KEYS:
            raise UsageError(
                f"{path}: {key} is not taken from a project's file, because anybody may have written it: "
                f"set it in your own file or by an option"
            )
    return values


def _from_file(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the configuration file {path}: {error}") from error
    for key in table:
        if key not in Settings.__struct_fields__:
            raise UsageError(f'{path}: unknown key "{key}"; the keys are: {", ".join(Settings.__struct_fields__)}')
    return {key: (value, str(path)) for key, value in table.items()}


def _converted(key: str, value: Any, origin: str) -> Any:
    """The value in the setting's own type; text from a variable may be a number."""
    if isinstance(value, Secret):
        return value
    if key in _SECRETS and isinstance(value, str):
        return Secret(value)
    try:
        return msgspec.convert(value, _TYPES[key], strict=origin not in VARIABLES)
    except msgspec.ValidationError as error:
        shown = "this value" if key in _SECRETS else repr(value)
        raise UsageError(f"{origin}: {key} takes {DESCRIPTIONS[key]}, not {shown}") from error
