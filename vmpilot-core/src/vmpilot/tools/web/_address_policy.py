"""The IP addresses that the web tools may connect to: the public internet and explicitly allowed addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from vmpilot.contract import ToolError

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a host for this port, best first. Raises OSError."""

_MOST_ADDRESSES = 4

# IANA's registries of special-purpose addresses (RFC 6890 and its successors), and Azure's host agent.
_CLOSED_V4 = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a provider's internal network"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud platform's internal service"),
        ("169.254.0.0/16", "link-local, with cloud metadata"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "a reserved range"),
        ("192.0.2.0/24", "reserved for examples"),
        ("192.88.99.0/24", "a reserved range"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for examples"),
        ("203.0.113.0/24", "reserved for examples"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "a reserved range"),
    )
)
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_MAPPED, _NAT64 = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """The system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class AddressPolicy:
    """Checks the addresses of a host. `opened` are addresses or networks allowed in addition to the public internet."""

    def __init__(self, resolve: Resolve = resolve_host, *, opened: Sequence[str] = ()) -> None:
        self._resolve = resolve
        self._opened = tuple(ip_network(network) for network in opened)

    async def find(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses to connect to. Raises `ToolError` without any, or if one of them is not allowed."""
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            raise ToolError(f"The host {host} was not found: {error.strerror or error}") from error
        for text in found:
            if why := self._find_refusal(text):
                raise ToolError(
                    f"Not fetched: {host} has the address {text} ({why}). This tool only reaches the public internet."
                )
        if not found:
            raise ToolError(f"The host {host} has no address")
        return tuple(found[:_MOST_ADDRESSES])

    def _find_refusal(self, text: str) -> str | None:
        try:
            address = ip_address(text)
        except ValueError:
            return "not an address"
        if any(address in network for network in self._opened):
            return None
        return find_closed(address) or ("this machine" if _is_own(address) else None)


def find_closed(address: IPv4Address | IPv6Address) -> str | None:
    """The kind of an address that is not on the public internet, or None for a public one."""
    if isinstance(address, IPv4Address):
        return next((what for network, what in _CLOSED_V4 if address in network), None)
    if address in _MAPPED or address in _NAT64:
        return find_closed(IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _OPEN_V6 or any(address in network for network in _CLOSED_V6):
        return "not on the public internet"
    return None


def _is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether a public address belongs to this machine; sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False
