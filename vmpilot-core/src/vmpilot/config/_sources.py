"""Merges the sources of settings: defaults < user's file < project's file < environment < options."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from vmpilot.config._approvals import Approvals, ApprovalsFile
from vmpilot.config._cache_place import read_cache_place
from vmpilot.config._environment import VARIABLES, Environment
from vmpilot.config._mcp_servers import read_mcp_settings
from vmpilot.config._settings import RULE_KEYS, TRUSTED_PROJECT_KEYS, WIDENING_KEYS, LoadedSettings, Settings
from vmpilot.contract import Secret, UsageError
from vmpilot.providers import read_base_url

PROJECT_FILE = ".vmpilot.toml"

DESCRIPTIONS = {
    name: kind
    for names, kind in [
        ("backend model langchain_model litellm_model api_key", "a string"),
        ("base_url", "a URL like http://localhost:8000/v1"),
        ("temperature", "a number from 0 to 2"),
        ("max_tokens max_steps max_total_tokens context_window attempts cache_megabytes", "a whole number above 0"),
        ("seed", "a whole number"),
        ("compaction streaming cache_any_temperature", "true or false"),
        ("tool_output_lines", "a whole number, 0 or more"),
        ("reasoning_effort", "one of minimal, low, medium, high"),
        ("max_cost", "an amount of US dollars above 0"),
        ("fallback", "a list of model names"),
        ("tool_mode", "one of auto, native, text"),
        ("cache", '"off", "disk" or a URL like redis://localhost:6379/0'),
        ("mode", "one of observe, operate, full"),
        ("max_seconds connect_timeout first_content_timeout gap_timeout call_timeout", "a number of seconds above 0"),
        ("retry_seconds", "a number of seconds, 0 or more"),
        ("pass_environment", "a list of variable names"),
        ("tools", "a list of tool names"),
        ("allow allow_on_host ask deny", 'a list of rules like "shell: npm test"'),
        ("github_url", "a URL like https://github.example.com/api/v3"),
        ("mcp", "servers, in tables [mcp.servers.NAME]"),
        ("database_url", "a URL like postgresql://user:password@host/database"),
    ]
    for name in names.split()
}
"""The values that each setting takes, for messages."""

_SECRETS = {"api_key", "cache", "database_url"}
_MAY_HOLD_A_PASSWORD = _SECRETS | {"base_url"}
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def load_settings(environment: Environment, *, folder: Path, options: Mapping[str, tuple[Any, str]]) -> LoadedSettings:
    """The settings for work in `folder`; `options` are key to (value, the option's name).

    Raises `UsageError` naming the file, variable or option, the key and the type that it takes.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    remarks: list[str] = []
    for key, (value, origin) in _in_order(environment, folder, options, remarks):
        converted = convert_setting(key, value, origin)
        if key in RULE_KEYS and key in values:
            values[key] += converted
            origins[key] += f", {origin}"
        else:
            values[key], origins[key] = converted, origin
    return LoadedSettings(Settings(**values), origins, tuple(remarks))


def _in_order(
    environment: Environment, folder: Path, options: Mapping[str, tuple[Any, str]], remarks: list[str]
) -> list[tuple[str, tuple[Any, str]]]:
    found = list(_parse(environment.user_file, _read(environment.user_file)).items())
    approvals_file = ApprovalsFile(environment.config_folder)
    approvals = approvals_file.read()
    if project := find_project_file(folder):
        found += _from_project(project, approvals, remarks).items()
    for key, rules in saved_rules(approvals.rules.get(str(project_root(folder)), ())).items():
        if rules:
            found.append((key, (list(rules), str(approvals_file.path))))
    found += environment.values().items()
    return found + list(options.items())


def saved_rules(written: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Rules saved with "always", by the setting that they extend: commands were allowed on the host."""
    by_key: dict[str, tuple[str, ...]] = {"allow_on_host": (), "allow": ()}
    for rule in written:
        by_key["allow_on_host" if rule.partition(":")[0].strip() == "shell" else "allow"] += (rule,)
    return by_key


def project_root(folder: Path) -> Path:
    """The root of the project: the nearest folder with a project file or git repository, else `folder` itself."""
    if project := find_project_file(folder):
        return project.parent
    return next((candidate for candidate in (folder, *folder.parents) if _is_repository(candidate)), folder)


def _is_repository(folder: Path) -> bool:
    try:
        return (folder / ".git").exists()
    except PermissionError:
        return False


def find_project_file(folder: Path) -> Path | None:
    """The nearest project file in the folder or above it, up to the root of a git repository."""
    for candidate in (folder, *folder.parents):
        try:
            if (candidate / PROJECT_FILE).is_file():
                return candidate / PROJECT_FILE
            if (candidate / ".git").exists():
                return None
        except PermissionError:  # a folder may be searchable but not readable
            return None
    return None


def _from_project(path: Path, approvals: Approvals, remarks: list[str]) -> dict[str, tuple[Any, str]]:
    content = _read(path)
    values = _parse(path, content)
    if not approvals.trusts(path, content) and (widening := sorted(WIDENING_KEYS & values.keys())):
        left_out = " and ".join(widening)
        remarks.append(f"Not using {left_out} in {path}. To trust the file, run `vmpilot trust {path.parent}`.")
        values = {key: value for key, value in values.items() if key not in WIDENING_KEYS}
    if str(values.get("model", ("", ""))[0]).startswith("local:"):
        raise UsageError(f"{path}: a project's file cannot set a local model file. Use --model.")
    for key in values:
        if key not in TRUSTED_PROJECT_KEYS:
            raise UsageError(
                f"{path}: a project's file cannot set {key}, because others may have written the file. "
                f"Set it in your own configuration file or with an option."
            )
    return values


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"Cannot read configuration file {path}: {error}") from error


def _parse(path: Path, content: bytes) -> dict[str, tuple[Any, str]]:
    try:
        table = tomllib.loads(content.decode())
    except ValueError as error:
        raise UsageError(f"Cannot read configuration file {path}: {error}") from error
    for key in table:
        if key not in Settings.__struct_fields__:
            raise UsageError(f'{path}: unknown key "{key}". The keys are: {", ".join(Settings.__struct_fields__)}.')
    return {key: (value, str(path)) for key, value in table.items()}


def convert_setting(key: str, value: Any, origin: str) -> Any:
    """Convert a value to the setting's type; text from a variable may be a number. Raises `UsageError`."""
    if key == "cache" and isinstance(value, str | Secret):
        try:
            return read_cache_place(value if isinstance(value, str) else value.reveal())
        except ValueError:  # the error and the value may show a password
            raise UsageError(f"{origin}: cache must be {DESCRIPTIONS['cache']}, not this value") from None
    if key in _SECRETS and isinstance(value, str | Secret):
        return value if isinstance(value, Secret) else Secret(value)
    if key == "fallback" and origin in VARIABLES:
        value = [name.strip() for name in value.split(",") if name.strip()]
    try:
        if key == "mcp":
            return read_mcp_settings(value)
        converted = msgspec.convert(value, _TYPES[key], strict=origin not in VARIABLES)
        return read_base_url(converted) if key == "base_url" and converted is not None else converted
    except msgspec.ValidationError as error:
        shown = "this value" if key in _MAY_HOLD_A_PASSWORD else repr(value)
        raise UsageError(f"{origin}: {key} must be {DESCRIPTIONS[key]}, not {shown}") from error
    except ValueError as error:  # of a base URL it may show the password
        reason = f"invalid base URL: {error}; expected {DESCRIPTIONS[key]}" if key == "base_url" else error
        raise UsageError(f"{origin}: {reason}") from None
