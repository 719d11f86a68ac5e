"""Selects the proxy for a URL from the environment variables that curl reads, with curl's rules for NO_PROXY."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import msgspec

from vmpilot.contract.errors import UsageError
from vmpilot.contract.secret import Secret

_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_AND_PORT = re.compile(r"\[?(?P<host>.*?)\]?(?::(?P<port>\d+))?\Z")


class Proxy(msgspec.Struct, frozen=True):
    """A proxy, set by `variable`. `url` may contain a password; `str` shows the variable and the proxy without it."""

    variable: str
    url: Secret

    def __str__(self) -> str:
        parts = urlsplit(self.address)
        return f"{self.variable} ({parts.scheme}://{parts.netloc.rpartition('@')[2]})"

    def __repr__(self) -> str:
        return f"Proxy({self.variable})"

    @property
    def address(self) -> str:
        """The URL with its credentials, for an HTTP library. Raises `UsageError` if no library could use it."""
        text = self.url.reveal().strip()
        text = text if "://" in text else f"http://{text}"
        parts = _split(text)
        if parts is None or not text.isprintable() or " " in text:
            raise UsageError(
                f"{self.variable} is not a valid proxy URL: "
                "set it to one like http://proxy.example.com:3128, or unset it"
            )
        if parts.scheme not in _SCHEMES:
            raise UsageError(
                f"{self.variable} names a {parts.scheme}:// proxy, which is not supported: "
                "set it to an http://, https:// or socks5:// URL, or unset it"
            )
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_socks(self) -> bool:
        """Whether it is a SOCKS proxy. Raises `UsageError` like `address`."""
        return self.address.startswith("socks")


class Proxies(msgspec.Struct, frozen=True):
    """The proxies for http:// and https:// URLs, and the hosts that are reached directly."""

    http: Proxy | None = None
    https: Proxy | None = None
    exceptions: tuple[str, ...] = ()

    def find(self, url: str) -> Proxy | None:
        """The proxy for a URL; None means a direct connection.

        Raises `UsageError` that names the variable if the proxy it sets cannot be used.
        """
        parts = _split(url)
        if parts is None:
            return None  # the HTTP library reports the error
        proxy = {"http": self.http, "https": self.https}.get(parts.scheme)
        if proxy is None or any(_matches(entry, parts) for entry in self.exceptions):
            return None
        _ = proxy.address  # checked here, because it is needed now
        return proxy


def read_proxies(variables: Mapping[str, str]) -> Proxies:
    """Read `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower case, otherwise upper case.

    As in curl, an empty variable counts as unset. `HTTP_PROXY` is not read in a CGI program: there it is a header
    that the client chose (https://httpoxy.org).
    """
    named = {name: _first(variables, name) for name in ("http_proxy", "https_proxy", "all_proxy")}
    if "REQUEST_METHOD" in variables and named["http_proxy"] == "HTTP_PROXY":
        named["http_proxy"] = None
    http, https = (named[name] or named["all_proxy"] for name in ("http_proxy", "https_proxy"))
    exceptions = _first(variables, "no_proxy")
    return Proxies(
        http=Proxy(http, Secret(variables[http])) if http else None,
        https=Proxy(https, Secret(variables[https])) if https else None,
        exceptions=tuple(re.split(r"[\s,]+", variables[exceptions].strip(" ,"))) if exceptions else (),
    )


def _first(variables: Mapping[str, str], name: str) -> str | None:
    """The variable of this name that is set."""
    return next((spelling for spelling in (name, name.upper()) if variables.get(spelling)), None)


def _split(url: str) -> SplitResult | None:
    """The URL's parts; None without a host or with an invalid port."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _matches(entry: str, url: SplitResult) -> bool:
    """Whether an entry of NO_PROXY covers the URL.

    It is `*`, a domain (which covers its subdomains), an IP address or a CIDR block. Beyond curl, it may also have
    brackets, a scheme and a port.
    """
    if entry == "*":
        return True
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme.lower() != url.scheme:
        return False
    host = url.hostname or ""
    for pattern, port in _read_entry(rest):
        if port in (None, url.port or _DEFAULT_PORTS.get(url.scheme)) and _covers(pattern, host):
            return True
    return False


def _read_entry(entry: str) -> Iterator[tuple[str, int | None]]:
    """The host and port of an entry, if it has them; `a:1` is a port, `::1` is not."""
    bare = entry.translate({ord("["): None, ord("]"): None})
    if entry.startswith("[") or entry.count(":") <= 1:
        match = _HOST_AND_PORT.match(entry)
        if match and match["port"]:
            yield match["host"], int(match["port"])
            return
    yield bare, None


def _covers(pattern: str, host: str) -> bool:
    address = _read_ip(host)
    if address is not None:
        try:
            return address in ip_network(pattern, strict=False)
        except ValueError:
            return False
    domain = _in_ascii(pattern.removeprefix("*").strip("."))
    name = _in_ascii(host.rstrip("."))
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _read_ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _in_ascii(host: str) -> str:
    try:
        return host.lower().encode("idna").decode()
    except UnicodeError:
        return host.lower()
