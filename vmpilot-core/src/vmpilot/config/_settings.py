"""The settings: names, types, defaults, and where each can be set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from vmpilot.config._cache_place import CachePlace
from vmpilot.config._mcp_servers import McpSettings
from vmpilot.contract import ReasoningEffort, RetryPolicy, Secret, TimeLimits

DEFAULT_MODEL = "gpt-4o"

Positive = Annotated[int, msgspec.Meta(gt=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
ModelName = Annotated[str, msgspec.Meta(pattern=r"\S")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings that files, variables and options can set; the names are the keys in files.

    Times are in seconds. `api_key`, `database_url` and the URL in `cache` never print.
    """

    backend: str | None = None
    model: str | None = None
    langchain_model: str | None = None
    litellm_model: str | None = None
    base_url: str | None = None
    api_key: Secret | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_tokens: Positive | None = None
    reasoning_effort: ReasoningEffort | None = None
    seed: int | None = None
    mode: Literal["observe", "operate", "full"] = "operate"
    max_steps: Positive = 25
    max_cost: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_total_tokens: Positive | None = None
    max_seconds: PositiveSeconds | None = None
    compaction: bool = True
    context_window: Positive | None = None
    tool_output_lines: Annotated[int, msgspec.Meta(ge=0)] = 10
    connect_timeout: PositiveSeconds = 10.0
    first_content_timeout: PositiveSeconds = 120.0
    gap_timeout: PositiveSeconds = 60.0
    call_timeout: PositiveSeconds = 900.0
    attempts: Positive = 3
    retry_seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    fallback: tuple[ModelName, ...] = ()
    streaming: bool = True
    tool_mode: Literal["auto", "native", "text"] = "auto"
    cache: CachePlace = CachePlace()
    cache_megabytes: Positive = 200
    cache_any_temperature: bool = False
    pass_environment: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = None
    database_url: Secret | None = None
    allow: tuple[str, ...] = ()
    allow_on_host: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    github_url: str = "https://api.github.com"
    mcp: McpSettings = McpSettings()

    @property
    def time_limits(self) -> TimeLimits:
        return TimeLimits(self.connect_timeout, self.first_content_timeout, self.gap_timeout, self.call_timeout)

    @property
    def retry_policy(self) -> RetryPolicy:
        return RetryPolicy(self.attempts, self.retry_seconds)

    def model_for(self, backend: str) -> str:
        """The model for a backend: its own setting overrides the common one."""
        own = {"langchain": self.langchain_model, "litellm": self.litellm_model}.get(backend)
        return own or self.model or DEFAULT_MODEL


NARROWING_KEYS = frozenset({"ask", "deny"})
WIDENING_KEYS = frozenset({"allow", "allow_on_host"})
RULE_KEYS = NARROWING_KEYS | WIDENING_KEYS
"""Rules of all sources apply together."""

PROJECT_KEYS = NARROWING_KEYS | {
    "backend",
    "model",
    "temperature",
    "max_tokens",
    "max_steps",
    "max_cost",
    "max_total_tokens",
    "max_seconds",
    "tool_output_lines",
    "seed",
}
"""Settings that a project's file can set: nothing that allows more or sends a key elsewhere."""

TRUSTED_PROJECT_KEYS = PROJECT_KEYS | WIDENING_KEYS
"""Settings that a trusted project's file can set."""


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings with the origin of each value: `default`, `VMPILOT_MODEL`, a file's path, `--model`.

    `remarks` are sentences for the user, such as which rules of a project's file are not used.
    """

    settings: Settings
    origins: dict[str, str]
    remarks: tuple[str, ...] = ()

    def shown(self) -> dict[str, tuple[Any, str]]:
        """Each key with its value, secrets removed, and its origin."""
        values = {name: getattr(self.settings, name) for name in Settings.__struct_fields__}
        return {name: (_shown(name, value), self.origins.get(name, "default")) for name, value in values.items()}


def _shown(name: str, value: Any) -> Any:
    """The value without secrets: URLs without passwords, MCP servers as their command or URL."""
    if isinstance(value, McpSettings):
        return {server: each.place for server, each in value.servers.items()}
    if isinstance(value, CachePlace):
        return str(value)
    text = value.reveal() if isinstance(value, Secret) else value
    if text is not None and name in {"base_url", "database_url"}:
        return _without_password(text)
    return "(set)" if isinstance(value, Secret) else value


def address_of(base_url: str | None) -> str:
    """The base URL without anything that may be secret, for the log; empty for None."""
    return "" if base_url is None else _without_password(base_url)


def _without_password(address: str) -> str:
    try:
        url = urlsplit(address)
        if not url.hostname:
            return "(set)"
        user = f"{url.username}@" if url.username else ""
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return "(set)"
    return f"{url.scheme}://{user}{url.hostname}{port}{url.path}"
