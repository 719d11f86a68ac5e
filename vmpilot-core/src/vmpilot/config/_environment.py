"""The environment of the process as far as VMPilot uses it, read once."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from vmpilot.contract import UsageError

VARIABLES: Mapping[str, str] = {
    "VMPILOT_MODEL": "model",
    "VMPILOT_LANGCHAIN_MODEL": "langchain_model",
    "VMPILOT_LITELLM_MODEL": "litellm_model",
    "VMPILOT_BASE_URL": "base_url",
    "VMPILOT_API_KEY": "api_key",
    "VMPILOT_TEMPERATURE": "temperature",
    "VMPILOT_MAX_TOKENS": "max_tokens",
    "VMPILOT_REASONING_EFFORT": "reasoning_effort",
    "VMPILOT_MODE": "mode",
    "VMPILOT_MAX_STEPS": "max_steps",
    "VMPILOT_MAX_COST": "max_cost",
    "VMPILOT_MAX_TOTAL_TOKENS": "max_total_tokens",
    "VMPILOT_MAX_SECONDS": "max_seconds",
    "VMPILOT_COMPACTION": "compaction",
    "VMPILOT_CONTEXT_WINDOW": "context_window",
    "VMPILOT_TOOL_OUTPUT_LINES": "tool_output_lines",
    "VMPILOT_CONNECT_TIMEOUT": "connect_timeout",
    "VMPILOT_FIRST_CONTENT_TIMEOUT": "first_content_timeout",
    "VMPILOT_GAP_TIMEOUT": "gap_timeout",
    "VMPILOT_CALL_TIMEOUT": "call_timeout",
    "VMPILOT_ATTEMPTS": "attempts",
    "VMPILOT_RETRY_SECONDS": "retry_seconds",
    "VMPILOT_FALLBACK": "fallback",
    "VMPILOT_STREAMING": "streaming",
    "VMPILOT_TOOL_MODE": "tool_mode",
    "VMPILOT_CACHE": "cache",
    "VMPILOT_DATABASE_URL": "database_url",
    "GITHUB_API_URL": "github_url",
}
"""Variables that set one setting each. `Environment.backend` handles those that choose the backend."""

_OWN_SECRETS = ("VMPILOT_API_KEY", "VMPILOT_DATABASE_URL", "VMPILOT_CACHE")
"""Variables with secrets that only VMPilot reads. Libraries of providers read theirs at each call."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables and folders of the user who runs VMPilot."""

    variables: Mapping[str, str] = field(repr=False)
    config_folder: Path
    data_folder: Path
    cache_folder: Path
    user: str

    @property
    def user_file(self) -> Path:
        """The user's configuration file, which need not exist."""
        return self.config_folder / "config.toml"

    @property
    def answers_folder(self) -> Path:
        """The answer cache on disk."""
        return self.cache_folder / "answers"

    @property
    def jobs_folder(self) -> Path:
        """The output of jobs that outlive VMPilot."""
        return self.data_folder / "jobs"

    @property
    def private_folders(self) -> tuple[Path, ...]:
        """VMPilot's own folders, hidden from commands: settings, conversations, cached answers."""
        return (self.config_folder, self.data_folder, self.answers_folder)

    def values(self) -> dict[str, tuple[str, str]]:
        """The settings from variables: key to (text, variable). Empty variables count as unset."""
        found = {
            key: (self.variables[variable], variable)
            for variable, key in VARIABLES.items()
            if self.variables.get(variable)
        }
        if backend := self.backend():
            found["backend"] = backend
        return found

    def backend(self) -> tuple[str, str] | None:
        """The backend that a variable chooses, and the variable."""
        if named := self.variables.get("VMPILOT_BACKEND"):
            return named, "VMPILOT_BACKEND"
        if flag := self.variables.get("VMPILOT_USE_LITELLM"):
            return "litellm" if _is_yes(flag) else "langchain", "VMPILOT_USE_LITELLM"
        return None


def current_environment() -> Environment:
    """Read the environment of the process.

    `VMPILOT_CONFIG_DIR`, `VMPILOT_DATA_DIR` and `VMPILOT_CACHE_DIR` replace the platform's folders. Raises `UsageError`
    if one is needed and there is no home folder.
    """
    variables = dict(os.environ)
    return Environment(
        variables=variables,
        config_folder=_folder(variables, "VMPILOT_CONFIG_DIR", platformdirs.user_config_path),
        data_folder=_folder(variables, "VMPILOT_DATA_DIR", platformdirs.user_data_path),
        cache_folder=_folder(variables, "VMPILOT_CACHE_DIR", platformdirs.user_cache_path),
        user=_user(),
    )


def take_environment() -> Environment:
    """`current_environment` for a process that runs only VMPilot: removes its secrets from `os.environ`.

    Processes that libraries start then do not inherit them. Can be called once.
    """
    environment = current_environment()
    for name in _OWN_SECRETS:
        os.environ.pop(name, None)
    return environment


def use_litellm() -> bool:
    """Whether `VMPILOT_USE_LITELLM` says `true`, `1` or `yes`, in any case."""
    return _is_yes(os.environ.get("VMPILOT_USE_LITELLM", ""))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container the user id may have no name
        return str(os.getuid())


def _is_yes(text: str) -> bool:
    return text.strip().lower() in {"true", "1", "yes"}


def _folder(variables: Mapping[str, str], variable: str, default: Callable[[str], Path]) -> Path:
    named = variables.get(variable)
    try:
        return Path(named).expanduser() if named else default("vmpilot")
    except RuntimeError as error:  # neither HOME nor a user with a home
        raise UsageError(f"No home folder. Set HOME, or set {variable} to a folder.") from error
