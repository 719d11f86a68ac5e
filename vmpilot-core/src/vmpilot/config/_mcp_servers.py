"""The MCP servers of the user's configuration, as checked values. Starts none of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from vmpilot.contract import Secret
from vmpilot.contract.secret_values import is_worth_masking
from vmpilot.machine.secrets.shell_environment import secret_values

DEFAULT_TIMEOUT = 120.0

_NAME = re.compile(r"[A-Za-z0-9](?:_?[A-Za-z0-9-]){0,31}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # token of RFC 9110, section 5.6.2
_PLAIN_HEADERS = frozenset({"accept", "accept-language", "user-agent"})


class McpServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[mcp.servers.NAME]`: a `command` with `args` and `env`, or a `url` with `headers`.

    In `env`, None passes on VMPilot's own variable of that name. `timeout` is the seconds for one call.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, Secret | None] = {}
    url: str | None = None
    headers: Mapping[str, Secret] = {}
    enabled: bool = True
    timeout: Annotated[float, msgspec.Meta(gt=0)] = DEFAULT_TIMEOUT

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise ValueError("set either command or url")
        if self.url is None:
            _check_command(self)
        else:
            _check_url(self, self.url)

    @property
    def place(self) -> str:
        """The server's command, or its URL up to the path, without anything that may be secret."""
        if self.url is None:
            return str(self.command)
        url = urlsplit(self.url)
        port = f":{url.port}" if url.port else ""
        return f"{url.scheme}://{url.hostname}{port}{url.path}"

    @property
    def fingerprint(self) -> str:
        """A hash of what identifies the server: all but the values of variables and headers, and the timeout."""
        parts = [self.command, list(self.args), sorted(self.env), self.url, sorted(self.headers)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret values."""
        found = secret_values({name: value.reveal() for name, value in self.env.items() if value is not None})
        found += secret_values({"": self.url or ""})
        for name, value in self.headers.items():
            if name.lower() not in _PLAIN_HEADERS:
                found += (value.reveal(), *value.reveal().split())
        return tuple(sorted(filter(is_worth_masking, found)))


class McpSettings(msgspec.Struct, frozen=True):
    """The table `[mcp]`: its servers by name."""

    servers: Mapping[str, McpServer] = {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret values in the configuration, to be masked everywhere."""
        return tuple(sorted({value for server in self.servers.values() for value in server.secrets}))


def read_mcp_settings(table: object) -> McpSettings:
    """Parse the table from a file. Raises ValueError naming the server and what is wrong with it."""
    if isinstance(table, McpSettings):
        return table
    if not isinstance(table, dict) or not table.keys() <= {"servers"} or not isinstance(table.get("servers", {}), dict):
        raise ValueError("[mcp] can contain only servers, as [mcp.servers.NAME]")
    return McpSettings({name: _read_server(name, value) for name, value in table.get("servers", {}).items()})


def _read_server(name: str, table: object) -> McpServer:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'[mcp.servers.{name}]: invalid name "{name}"; use up to 32 letters, digits, "-" and single "_"'
        )
    if isinstance(table, dict) and "env" in table:
        table = table | {"env": _read_env(name, table["env"])}
    try:
        return msgspec.convert(table, McpServer, dec_hook=_read_secret)
    except msgspec.ValidationError as error:
        raise ValueError(f"[mcp.servers.{name}]: {error}") from error


def _read_env(name: str, value: object) -> dict[str, str | None]:
    """A list of names to pass on, or a table of names and values in which `true` passes one on."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return dict.fromkeys(value)
    if isinstance(value, dict) and all(entry is True or isinstance(entry, str) for entry in value.values()):
        return {key: None if entry is True else entry for key, entry in value.items()}
    raise ValueError(
        f"[mcp.servers.{name}]: env must be a list of names, or a table of names and strings (or true, to pass on)"
    )


def _read_secret(kind: type, value: Any) -> Secret:
    if kind is not Secret or not isinstance(value, str):
        raise ValueError("expected a string")
    return Secret(value)


def _check_command(server: McpServer) -> None:
    if server.headers:
        raise ValueError("headers can be used only with a url")
    if not server.command or any("\0" in word for word in (server.command, *server.args)):
        raise ValueError("the command is empty or contains NUL")
    for name, value in server.env.items():
        if not name or "=" in name or "\0" in name or (value is not None and "\0" in value.reveal()):
            raise ValueError(f'env: "{name}" is not a valid variable')


def _check_url(server: McpServer, url: str) -> None:
    if server.args or server.env:
        raise ValueError("args and env can be used only with a command")
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("invalid url; expected http or https")
    for name, value in server.headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.reveal().isprintable() or not value.reveal().isascii():
            raise ValueError(f'headers: invalid name or value of "{name}"')
