"""One HTTP request and its answer, both bounded. No cookies, no redirects, nothing taken from the environment."""

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
    """A server could not be reached, or broke off."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back. The names of `headers` are in lower case; `cut` means that there was more of the body."""

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


def takes_every_body(head: HttpResponse) -> bool:
    """For answers whose bodies are wanted whatever they are."""
    del head
    return True


class HttpConnector:
    """How requests leave this machine: through which proxies, if any, and whom TLS trusts.

    `certificates` is a file of PEM certificates; without one the system's are trusted.
    """

    def __init__(self, *, proxies: Proxies = Proxies(), certificates: Path | None = None) -> None:  # noqa: B008  frozen
        self._proxies = proxies
        self._certificates = certificates

    def open(self, url: str) -> RoutedTransport:
        """A transport for requests to this URL, whatever address they name in its place; to be closed.

        Raises `NoResponse` if the proxy for it cannot be used.
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
            raise NoResponse(f"the certificates in {self._certificates} cannot be read: {error}") from error
        return context


async def send_request(
    transport: RoutedTransport,
    request: httpx2.Request,
    *,
    most: int,
    wants_body: Callable[[HttpResponse], bool] = takes_every_body,
) -> HttpResponse:
    """Send the request and read at most `most` bytes of the answer's body, counted after unpacking.

    `wants_body` is asked with the head of the answer. Raises `NoResponse`; whoever cancels this closes the connection.
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
    """Unpacks a body, never to more than `most` bytes, however small it was packed."""

    def __init__(self, encoding: str, most: int) -> None:
        self.unpacked = bytearray()
        self._most = most
        match encoding.strip().lower():
            case "" | "identity":
                self._stream = None
            case "gzip" | "x-gzip":
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            case other:
                raise NoResponse(f"the answer is packed in a way that was not asked for ({other[:40]!r})")

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
            raise NoResponse(f"the answer cannot be unpacked ({error})") from error

    @property
    def _room(self) -> int:
        return self._most - len(self.unpacked)


def _describe(error: Exception) -> str:
    import httpx2

    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, httpx2.TimeoutException):
        return f"it was silent for {_QUIET_SECONDS:g} s"
    return str(error) or type(error).__name__
