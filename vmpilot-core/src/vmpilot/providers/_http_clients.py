"""Asynchronous HTTP clients for model requests: proxy routing, and a limit on how much of an error body is read.

It works with httpx and with httpx2, which share an interface but not classes. It imports neither: the client class that
a backend passes in determines the library.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vmpilot.contract.proxies import Proxies, Proxy
from vmpilot.contract.request import ModelSettings

if TYPE_CHECKING:
    import ssl

Client = TypeVar("Client")
"""`AsyncClient` of httpx or httpx2, or a subclass."""

MAX_ERROR_BYTES = 16 * 1024
"""Bytes read of an error body: the useful part is at the start, and searching a longer body takes seconds."""

_PROXY_AUTHENTICATION_REQUIRED = 407


def open_client(kind: Callable[..., Client], settings: ModelSettings, *, verify: Any = None, **options: Any) -> Client:
    """Create a client of class `kind`: `AsyncClient` of httpx or httpx2, or a subclass. `options` are passed to it.

    `verify` selects the certificates that TLS trusts; None means the library's default. Only the connect timeout is
    set, because the core enforces the others. The client uses the proxies in `settings` and ignores those in the
    environment, adds the query in `settings` to each request, follows no redirects (they would carry the key along),
    and reads at most `MAX_ERROR_BYTES` bytes of an error body. Requests raise the same errors as `RoutedTransport`.
    """
    library = _find_library(kind)

    async def add_query(request: Any) -> None:
        if settings.query:
            request.url = request.url.copy_merge_params(library.QueryParams(settings.query))

    async def bound_failure(response: Any) -> None:
        if not response.is_success and isinstance(response.stream, library.AsyncByteStream):
            response.stream = _make_beginning(library)(response.stream)

    return kind(
        transport=RoutedTransport(library, settings.proxies, verify or _choose_tls(library, settings.base_url)),
        timeout=library.Timeout(None, connect=settings.time_limits.connect),
        trust_env=False,
        follow_redirects=False,
        event_hooks={"request": [add_query], "response": [bound_failure]},
        **options,
    )


def _choose_tls(library: Any, base_url: str | None) -> ssl.SSLContext:
    import ssl

    encrypted = base_url is None or not base_url.lower().startswith("http://")
    return _load_tls(library) if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def _load_tls(library: Any) -> ssl.SSLContext:
    """The trusted authorities, read once per process (20 ms); they contain no user data."""
    context: ssl.SSLContext = library.create_ssl_context()
    return context


def _find_library(kind: Any) -> ModuleType:
    """The library (httpx or httpx2) that defines this `AsyncClient` or its base class."""
    base = next(cls for cls in kind.__mro__ if cls.__name__ == "AsyncClient")
    return sys.modules[base.__module__.partition(".")[0]]


class RoutedTransport:
    """A transport for clients of `library`, httpx or httpx2: requests go directly or through the proxy for their URL.

    A failing proxy raises the library's `ProxyError`, with the variable's name in its text; an unusable proxy setting
    raises `UsageError`.
    """

    def __init__(self, library: Any, proxies: Proxies, verify: Any) -> None:
        self._library = library
        self._proxies = proxies
        self._verify = verify
        self._transports: dict[Proxy | None, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request and return the response with its body still unread."""
        proxy = self._proxies.find(str(request.url))
        if proxy not in self._transports:
            self._transports[proxy] = self._open(proxy)
        transport = self._transports[proxy]
        if proxy is None:
            return await transport.handle_async_request(request)
        library = self._library
        failures = (library.ProxyError, library.NetworkError, library.RemoteProtocolError, library.ConnectTimeout)
        try:
            async with _checked_handshake(request, is_socks=proxy.is_socks):
                response = await transport.handle_async_request(request)
        except (*failures, _HandshakeError) as error:
            raise library.ProxyError(f"{proxy}: {error or 'no response in time'}") from error
        if response.status_code == _PROXY_AUTHENTICATION_REQUIRED:
            await response.aclose()
            raise library.ProxyError(f"{proxy}: 407 Proxy Authentication Required")
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _open(self, proxy: Proxy | None) -> Any:
        if proxy is None:
            return self._library.AsyncHTTPTransport(verify=self._verify, trust_env=False)
        tls = _load_tls(self._library) if proxy.address.startswith("https:") else None
        way = self._library.Proxy(proxy.address, ssl_context=tls)
        return self._library.AsyncHTTPTransport(verify=self._verify, trust_env=False, proxy=way)


class _HandshakeError(Exception):
    """A SOCKS proxy did not respond, or its response was not SOCKS."""


@asynccontextmanager
async def _checked_handshake(request: Any, *, is_socks: bool) -> AsyncIterator[None]:
    """Time out the handshake with a SOCKS proxy: httpcore sets no timeout and leaks the connection on failure.

    The events are those of httpcore: https://www.encode.io/httpcore/extensions/#trace.
    """
    if not is_socks:
        yield
        return
    import asyncio

    from socksio import SOCKSError

    seconds = request.extensions.get("timeout", {}).get("connect")
    connection: Any = None

    async def follow(event: str, info: dict[str, Any]) -> None:
        nonlocal connection
        if event.endswith("connect_tcp.complete"):
            connection = info["return_value"]
        elif event.endswith("setup_socks5_connection.started") and seconds is not None:
            limit.reschedule(asyncio.get_running_loop().time() + seconds)
        elif event.endswith("setup_socks5_connection.complete"):
            limit.reschedule(None)
            connection = None

    request.extensions = {**request.extensions, "trace": follow}
    try:
        async with asyncio.timeout(None) as limit:
            yield
    except TimeoutError as error:
        raise _HandshakeError("no response in time") from error
    except (SOCKSError, AssertionError) as error:
        raise _HandshakeError("its response is not SOCKS 5") from error
    finally:
        if connection is not None:
            await connection.aclose()


@functools.cache
def _make_beginning(library: Any) -> Callable[[Any], Any]:
    class Beginning(library.AsyncByteStream):  # type: ignore[misc]  # known at run time only
        """The first bytes of a body."""

        def __init__(self, whole: Any) -> None:
            self._whole = whole

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = MAX_ERROR_BYTES
            async for piece in self._whole:
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return

        async def aclose(self) -> None:
            await self._whole.aclose()

    return Beginning
