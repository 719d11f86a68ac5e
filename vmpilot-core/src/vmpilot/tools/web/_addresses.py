"""Normalized web addresses, so that the approved, checked and fetched addresses are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote, urljoin, urlsplit

from vmpilot.contract import ToolError

DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\Z")
_KEPT_IN_PATH = "/%:@!$&'()*+,;=~"
_KEPT_IN_QUERY = _KEPT_IN_PATH + "?[]"
_LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An http or https address. `host` is in lower case and ASCII, `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's default, port: the Host header."""
        shown = _bracketed(self.host)
        return shown if self.port == DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}"

    def url_at(self, ip: str) -> str:
        """The address with an IP address instead of the host."""
        return f"{self.scheme}://{_bracketed(ip)}:{self.port}{self.target}"

    def allows(self, other: WebAddress) -> bool:
        """Whether approval of this covers the other: the same origin, or the same host with TLS."""
        if (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port):
            return True
        upgrade = (self.scheme, self.port, other.scheme, other.port) == ("http", 80, "https", 443)
        return upgrade and self.host == other.host


def read_address(text: str, *, base: WebAddress | None = None) -> WebAddress:
    """Parse an address; a relative one is resolved against `base`. Raises `ToolError` if it may not be fetched."""
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable() or "\\" in text:
        raise ToolError(f"Invalid web address (unusual characters, or more than {_LONGEST:,}): {text[:200]!r}")
    try:
        parts = urlsplit(urljoin(base.url, text) if base else text)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise ToolError(f"Invalid web address ({error}): {text!r}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise ToolError(f"Expected a complete http or https address (https://HOST/…), not {text!r}")
    if "@" in parts.netloc:
        raise ToolError(f"Addresses with a user name or password are not fetched: {parts.scheme}://…@{host}")
    if port == 0:
        raise ToolError(f"Invalid web address (port 0): {text!r}")
    target = quote(parts.path or "/", safe=_KEPT_IN_PATH)
    if parts.query:
        target += f"?{quote(parts.query, safe=_KEPT_IN_QUERY)}"
    return WebAddress(parts.scheme, _read_host(host), port or DEFAULT_PORTS[parts.scheme], target)


def _read_host(host: str) -> str:
    try:
        if ":" in host and "%" not in host:
            return str(IPv6Address(host))
        if not host.isascii():
            import idna

            host = idna.encode(host, uts46=True).decode()
    except ValueError as error:
        raise ToolError(f"Invalid host: {host!r}") from error
    name = host.lower().removesuffix(".")
    if not _HOST.match(name) or ".." in name:
        raise ToolError(f"Invalid host: {host!r}")
    return name


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
