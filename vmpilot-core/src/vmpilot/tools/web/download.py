"""Gets one page: to checked addresses only, also through redirects, within limits of time, size and number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vmpilot.contract import ToolError
from vmpilot.tools.web.address_policy import AddressPolicy
from vmpilot.tools.web.addresses import WebAddress, read_address
from vmpilot.tools.web.content import may_be_text
from vmpilot.tools.web.http_client import HttpConnector, HttpResponse, NoResponse, send_request

if TYPE_CHECKING:
    import httpx2

USER_AGENT = "VMPilot (an assistant that acts for one person)"

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
    """Seconds for the whole, and bytes of a body."""

    seconds: float = 20.0
    size: int = 5 * 1024**2


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, and from where it came in the end."""

    address: WebAddress
    answer: HttpResponse


@dataclass(frozen=True, slots=True)
class CrossHostRedirect:
    """The address sends on to another one, which nobody has asked for yet."""

    address: WebAddress
    target: WebAddress


Download: TypeAlias = Page | CrossHostRedirect


async def download(address: WebAddress, *, policy: AddressPolicy, connector: HttpConnector, limits: Limits) -> Download:
    """Get the address, following redirects within its host. Raises `ToolError`."""
    try:
        async with asyncio.timeout(limits.seconds):
            return await _follow(address, policy, connector, limits)
    except TimeoutError as error:
        raise ToolError(f"{address.url} was not there within {limits.seconds:g} s. Try it later.") from error


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
    raise ToolError(f"{address.url} redirects without end ({_MOST_REDIRECTS} times followed)")


async def _get(address: WebAddress, policy: AddressPolicy, connector: HttpConnector, limits: Limits) -> HttpResponse:
    """Ask the first of the host's addresses that takes the connection."""
    import httpx2

    failure = NoResponse("it has no address")
    for ip in await policy.find(address.host, address.port):
        request = _request(address, ip)
        try:
            async with connector.open(address.url) as transport:
                return await send_request(transport, request, most=limits.size, wants_body=_wants_body)
        except NoResponse as error:
            failure = error
            if not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
                break
    raise ToolError(f"{address.url} could not be fetched: {failure}") from failure


def _request(address: WebAddress, ip: str) -> httpx2.Request:
    """A request that goes to this IP address, while the Host header and TLS speak of the host.

    So there is no second look-up between the check and the connection, which could give another address.
    """
    import httpx2

    headers = {"host": address.authority} | _HEADERS
    return httpx2.Request("GET", address.url_at(ip), headers=headers, extensions={"sni_hostname": address.host})


def _wants_body(head: HttpResponse) -> bool:
    return head.status not in _REDIRECTS and may_be_text(head.media_type)
