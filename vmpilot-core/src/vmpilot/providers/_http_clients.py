"""Asynchronous HTTP clients for talking to a model: which way requests go, and how much of a failure is read.

It works with httpx and with httpx2, which have the same interface and different classes, and imports neither: the class
of client that a backend hands in brings its library along.
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
"""Bytes read of a failure's body: what matters is at the beginning, and searching a longer one takes seconds."""

_PROXY_AUTHENTICATION_REQUIRED = 407


def open_client(kind: Callable[..., Client], settings: ModelSettings, *, verify: Any = None, **options: Any) -> Client:
    """Make a client of `kind`, which is `AsyncClient` of httpx or httpx2, or a subclass; `options` are passed to it.

    `verify` says whom TLS trusts; None means the library's default. Of the time limits it sets the one for connecting,
    because the core keeps the others. It uses the proxies of `settings` and none from the environment, adds the query
    of `settings` to each request, follows no redirect (the key would travel along), and reads at most
    `MAX_ERROR_BYTES` bytes of a failure's body. Requests raise what `RoutedTransport` does.
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
    """The trusted authorities, read once in a process (20 ms); it holds nothing of any user."""
    context: ssl.SSLContext = library.create_ssl_context()
    return context


def _find_library(kind: Any) -> ModuleType:
    """The library, httpx or httpx2, whose `AsyncClient` this is or is derived from."""
    base = next(cls for cls in kind.__mro__ if cls.__name__ == "AsyncClient")
    return sys.modules[base.__module__.partition(".")[0]]


class RoutedTransport:
    """A transport for clients of `library`, httpx or httpx2: requests go directly or through the proxy for their URL.

    A proxy that fails raises the library's `ProxyError`, whose text names the variable; one that cannot be used at all
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
        """Send a request and return the response, whose body is still to be read."""
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
            raise library.ProxyError(f"{proxy}: {error or 'no answer in time'}") from error
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
    """A SOCKS proxy gave no answer, or one that is not SOCKS."""


@asynccontextmanager
async def _checked_handshake(request: Any, *, is_socks: bool) -> AsyncIterator[None]:
    """Bound the handshake with a SOCKS proxy: httpcore gives it no time limit, and leaks the connection if it fails.

    The events are httpcore's: https://www.encode.io/httpcore/extensions/#trace.
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
        raise _HandshakeError("no answer in time") from error
    except (SOCKSError, AssertionError) as error:
        raise _HandshakeError("its answer is not SOCKS 5") from error
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
