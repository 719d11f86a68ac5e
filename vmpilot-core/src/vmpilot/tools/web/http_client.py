"""One bounded HTTP request and response. No cookies, no redirects, nothing from the environment."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from vmpilot.contract import Proxies, ToolError, UsageError
from vmpilot.providers import RoutedTransport

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 5.0
_QUIET_SECONDS = 20.0


class NoResponse(ToolError):
    """A server could not be reached, or broke off the response."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response. Header names are in lower case; `cut` means that the body was longer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    cut: bool = False

    @property
    def status_line(self) -> str:
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class HttpConnector:
    """Connection settings for requests: proxies, if any, and trusted certificates.

    `certificates` is a PEM file; without one, the system's certificates are trusted.
    """

    def __init__(self, *, proxies: Proxies = Proxies(), certificates: Path | None = None) -> None:  # noqa: B008  frozen
        self._proxies = proxies
        self._certificates = certificates

    def open(self, url: str) -> RoutedTransport:
        """A transport, to be closed, for requests to this URL, even if they name an IP address instead of its host.

        Raises `NoResponse` if its proxy cannot be used.
        """
        import httpx2

        try:
            proxy = self._proxies.find(url)
        except UsageError as error:
            raise NoResponse(str(error)) from error
        return RoutedTransport(httpx2, Proxies(proxy, proxy), self._context)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        import httpx2

        if self._certificates is None:
            return httpx2.create_ssl_context(trust_env=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificates and host names
        try:
            context.load_verify_locations(self._certificates)
        except OSError as error:
            raise NoResponse(f"cannot read the certificates in {self._certificates}: {error}") from error
        return context


async def send_request(
    transport: RoutedTransport,
    request: httpx2.Request,
    *,
    most: int,
    wants_body: Callable[[HttpResponse], bool] = lambda _head: True,
) -> HttpResponse:
    """Send the request and read at most `most` bytes of the response's body, counted after decompression.

    `wants_body` gets the response without its body. Raises `NoResponse`; canceling closes the connection.
    """
    import httpx2

    quiet = _QUIET_SECONDS
    request.extensions["timeout"] = {"connect": CONNECT_SECONDS, "read": quiet, "write": quiet, "pool": quiet}
    try:
        response = await transport.handle_async_request(request)
        try:
            head = HttpResponse(response.status_code, {name.lower(): value for name, value in response.headers.items()})
            return await _read_body(response, head, most) if wants_body(head) else head
        finally:
            await response.aclose()
    except (httpx2.TransportError, httpx2.StreamError, httpx2.InvalidURL, UsageError) as error:
        raise NoResponse(_describe(error)) from error


async def _read_body(response: httpx2.Response, head: HttpResponse, most: int) -> HttpResponse:
    unpacker = _Unpacker(head.headers.get("content-encoding", ""), most + 1)
    async for chunk in response.aiter_raw():
        unpacker.feed(chunk)
        if unpacker.is_full:
            break
    body = bytes(unpacker.unpacked)
    return HttpResponse(head.status, head.headers, body[:most], cut=len(body) > most)


class _Unpacker:
    """Decompresses a body to at most `most` bytes, however well it was compressed."""

    def __init__(self, encoding: str, most: int) -> None:
        self.unpacked = bytearray()
        self._most = most
        match encoding.strip().lower():
            case "" | "identity":
                self._stream = None
            case "gzip" | "x-gzip":
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            case other:
                raise NoResponse(f"the response has a compression that was not requested ({other[:40]!r})")

    @property
    def is_full(self) -> bool:
        return len(self.unpacked) >= self._most

    def feed(self, chunk: bytes) -> None:
        if self._stream is None:
            self.unpacked += chunk[: self._room]
            return
        try:
            while chunk and self._room:
                self.unpacked += self._stream.decompress(chunk, self._room)
                if not self._stream.eof:
                    return
                chunk, self._stream = self._stream.unused_data, zlib.decompressobj(zlib.MAX_WBITS | 16)
        except zlib.error as error:
            raise NoResponse(f"the response cannot be decompressed ({error})") from error

    @property
    def _room(self) -> int:
        return self._most - len(self.unpacked)


def _describe(error: Exception) -> str:
    import httpx2

    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, httpx2.TimeoutException):
        return f"no data for {_QUIET_SECONDS:g} s"
    return str(error) or type(error).__name__
