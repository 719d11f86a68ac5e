"""Web addresses in one spelling, so that what is asked about, what is checked and what is fetched are the same."""

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
        """Host and, where it is not the scheme's own, port: what goes into the Host header."""
        shown = _bracketed(self.host)
        return shown if self.port == DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}"

    def url_at(self, ip: str) -> str:
        """The address with an IP address in the host's place."""
        return f"{self.scheme}://{_bracketed(ip)}:{self.port}{self.target}"

    def allows(self, other: WebAddress) -> bool:
        """Whether who may fetch this may fetch the other: the same place, or the same one with TLS."""
        if (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port):
            return True
        return self.host == other.host and (self.scheme, self.port, other.scheme, other.port) == (
            "http",
            80,
            "https",
            443,
        )


def read_address(text: str, *, base: WebAddress | None = None) -> WebAddress:
    """Read an address; `base` is where a relative one stood. Raises `ToolError` for what is not to be fetched."""
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable() or "\\" in text:
        raise ToolError(f"This is no web address (odd characters, or over {_LONGEST:,} of them): {text[:200]!r}")
    try:
        parts = urlsplit(urljoin(base.url, text) if base else text)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise ToolError(f"This is no web address ({error}): {text!r}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise ToolError(f"Only http and https addresses are fetched, written whole (https://HOST/…), not {text!r}")
    if "@" in parts.netloc:
        raise ToolError(f"An address with a user name or password is not fetched: {parts.scheme}://…@{host}")
    if port == 0:
        raise ToolError(f"This is no web address (port 0): {text!r}")
    target = quote(parts.path or "/", safe=_KEPT_IN_PATH)
    if parts.query:
        target += f"?{quote(parts.query, safe=_KEPT_IN_QUERY)}"
    return WebAddress(parts.scheme, _read_host(host), port or DEFAULT_PORTS[parts.scheme], target)


def _read_host(host: str) -> str:
    try:
        if ":" in host:
            return str(IPv6Address(host)) if "%" not in host else _refuse_host(host)
        name = host if host.isascii() else _in_ascii(host)
    except ValueError:
        return _refuse_host(host)
    name = name.lower().removesuffix(".")
    return name if _HOST.match(name) and ".." not in name else _refuse_host(host)


def _in_ascii(host: str) -> str:
    """Raises ValueError."""
    import idna

    return idna.encode(host, uts46=True).decode()


def _refuse_host(host: str) -> str:
    raise ToolError(f"This is no host that can be fetched from: {host!r}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
