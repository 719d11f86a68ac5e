"""Downloads one page, only from checked addresses, within limits of time, size and redirects."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vmpilot.contract import ToolError
from vmpilot.tools.web._address_policy import AddressPolicy
from vmpilot.tools.web._addresses import WebAddress, read_address
from vmpilot.tools.web.content import may_be_text
from vmpilot.tools.web.http_client import HttpConnector, HttpResponse, NoResponse, send_request

if TYPE_CHECKING:
    import httpx2

USER_AGENT = "VMPilot (an assistant that acts for one user)"

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "user-agent": USER_AGENT,
    "accept": "text/html, text/markdown, text/plain, application/json;q=0.9, */*;q=0.5",
    "accept-encoding": "gzip",
    "accept-language": "en, *;q=0.5",
    "connection": "close",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds in all, and bytes of a body."""

    seconds: float = 20.0
    size: int = 5 * 1024**2


@dataclass(frozen=True, slots=True)
class Page:
    """A response, and its final address."""

    address: WebAddress
    answer: HttpResponse


@dataclass(frozen=True, slots=True)
class CrossHostRedirect:
    """A redirect to another place, which has not been approved."""

    address: WebAddress
    target: WebAddress


Download: TypeAlias = Page | CrossHostRedirect


async def download(address: WebAddress, *, policy: AddressPolicy, connector: HttpConnector, limits: Limits) -> Download:
    """Get the address and follow redirects within its host. Raises `ToolError`."""
    try:
        async with asyncio.timeout(limits.seconds):
            return await _follow(address, policy, connector, limits)
    except TimeoutError as error:
        raise ToolError(f"{address.url} took longer than {limits.seconds:g} s. Try again later.") from error


async def _follow(address: WebAddress, policy: AddressPolicy, connector: HttpConnector, limits: Limits) -> Download:
    for _ in range(_MOST_REDIRECTS + 1):
        answer = await _get(address, policy, connector, limits)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            return Page(address, answer)
        target = read_address(location, base=address)
        if not address.allows(target):
            return CrossHostRedirect(address, target)
        address = target
    raise ToolError(f"Too many redirects from {address.url} ({_MOST_REDIRECTS} followed)")


async def _get(address: WebAddress, policy: AddressPolicy, connector: HttpConnector, limits: Limits) -> HttpResponse:
    """Ask the first of the host's addresses that accepts the connection."""
    import httpx2

    failure = NoResponse("no address")
    for ip in await policy.find(address.host, address.port):
        request = _request(address, ip)
        try:
            async with connector.open(address.url) as transport:
                return await send_request(transport, request, most=limits.size, wants_body=_wants_body)
        except NoResponse as error:
            failure = error
            if not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                break
    raise ToolError(f"Cannot fetch {address.url}: {failure}") from failure


def _request(address: WebAddress, ip: str) -> httpx2.Request:
    """A request to this IP address, with the host in the Host header and TLS.

    A second look-up between check and connection could give another address.
    """
    import httpx2

    headers = {"host": address.authority} | _HEADERS
    return httpx2.Request("GET", address.url_at(ip), headers=headers, extensions={"sni_hostname": address.host})


def _wants_body(head: HttpResponse) -> bool:
    return head.status not in _REDIRECTS and may_be_text(head.media_type)
