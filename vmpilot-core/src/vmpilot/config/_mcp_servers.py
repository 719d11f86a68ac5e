"""What a person's configuration says of MCP servers: values, checked. It starts none."""

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

    Of `env` a value of None lets VMPilot's own variable of that name through. `timeout` is the seconds for one call.
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
            raise ValueError("give either a command or a url")
        if self.url is None:
            _check_command(self)
        else:
            _check_url(self, self.url)

    @property
    def place(self) -> str:
        """Where it is, without anything that may be secret: the command's name, or the URL up to its path."""
        if self.url is None:
            return str(self.command)
        url = urlsplit(self.url)
        port = f":{url.port}" if url.port else ""
        return f"{url.scheme}://{url.hostname}{port}{url.path}"

    @property
    def fingerprint(self) -> str:
        """Another one for another server: a hash of all but the values of variables and headers, and the time limit."""
        parts = [self.command, list(self.args), sorted(self.env), self.url, sorted(self.headers)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must not be shown."""
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
        """The values in the configuration that must not be shown, to be masked wherever they turn up."""
        return tuple(sorted({value for server in self.servers.values() for value in server.secrets}))


def read_mcp_settings(table: object) -> McpSettings:
    """The settings in a table as it stands in a file. Raises ValueError naming the server and what is wrong with it."""
    if isinstance(table, McpSettings):
        return table
    if not isinstance(table, dict) or not table.keys() <= {"servers"} or not isinstance(table.get("servers", {}), dict):
        raise ValueError("[mcp] holds nothing but servers: write [mcp.servers.NAME]")
    return McpSettings({name: _read_server(name, value) for name, value in table.get("servers", {}).items()})


def _read_server(name: str, table: object) -> McpServer:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'[mcp.servers.{name}]: "{name}" is no name for a server: take up to 32 letters, digits, - and single _'
        )
    if isinstance(table, dict) and "env" in table:
        table = table | {"env": _read_env(name, table["env"])}
    try:
        return msgspec.convert(table, McpServer, dec_hook=_read_secret)
    except msgspec.ValidationError as error:
        raise ValueError(f"[mcp.servers.{name}]: {error}") from error


def _read_env(name: str, value: object) -> dict[str, str | None]:
    """Names to let through as a list, or a table of names and values in which `true` lets one through."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return dict.fromkeys(value)
    if isinstance(value, dict) and all(entry is True or isinstance(entry, str) for entry in value.values()):
        return {key: None if entry is True else entry for key, entry in value.items()}
    raise ValueError(f"[mcp.servers.{name}]: env is a list of names, or a table of names and texts (true: let through)")


def _read_secret(kind: type, value: Any) -> Secret:
    if kind is not Secret or not isinstance(value, str):
        raise ValueError("a text is wanted here")
    return Secret(value)


def _check_command(server: McpServer) -> None:
    if server.headers:
        raise ValueError("headers go with a url, not with a command")
    if not server.command or any("\0" in word for word in (server.command, *server.args)):
        raise ValueError("the command is empty, or holds NUL")
    for name, value in server.env.items():
        if not name or "=" in name or "\0" in name or (value is not None and "\0" in value.reveal()):
            raise ValueError(f'env: "{name}" is no variable that a program can be given')


def _check_url(server: McpServer, url: str) -> None:
    if server.args or server.env:
        raise ValueError("args and env go with a command, not with a url")
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("the url is none of http or https")
    for name, value in server.headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.reveal().isprintable() or not value.reveal().isascii():
            raise ValueError(f'headers: "{name}" has a name or a value that HTTP does not take')
