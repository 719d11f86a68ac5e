"""The connection to a server over streamable HTTP: the SDK's transport on a client whose answers are bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from vmpilot.contract import Proxies, RoutedTransport
from vmpilot.tools.mcp.settings import McpServer
from vmpilot.tools.mcp.stdio import LONGEST_MESSAGE

if TYPE_CHECKING:
    import httpx2
    from mcp.client._transport import TransportStreams

_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0


@asynccontextmanager
async def http_link(
    server: McpServer, *, proxies: Proxies, on_status: Callable[[int], None]
) -> AsyncIterator[TransportStreams]:
    """The streams for the SDK's session. How long an answer may take is the caller's to watch. `on_status` gets the
    status of each answer, which the SDK does not tell.
    """
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {name: value.reveal() for name, value in server.headers.items()} | {"accept-encoding": "identity"}
    timeout = httpx2.Timeout(_WRITE_SECONDS, connect=_CONNECT_SECONDS, read=None)

    async def note_status(response: httpx2.Response) -> None:
        on_status(response.status_code)

    hooks = {"response": [note_status, _bound]}
    if server.url is not None:
        proxies.find(server.url)  # a proxy that cannot be used is an error before anything is sent
    transport = cast("httpx2.AsyncBaseTransport", RoutedTransport(httpx2, proxies, httpx2.create_ssl_context()))
    async with (
        httpx2.AsyncClient(
            headers=headers, timeout=timeout, event_hooks=hooks, transport=transport, trust_env=False
        ) as client,
        streamable_http_client(str(server.url), http_client=client, max_sse_event_size=LONGEST_MESSAGE) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    """Keep an answer from filling the memory; a stream of events is bounded event by event."""
    import httpx2

    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx2.DecodingError("the answer is compressed, which was not asked for", request=response.request)
    if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        return
    body = response.stream

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            assert isinstance(body, httpx2.AsyncByteStream)  # noqa: S101
            async for chunk in body:
                size += len(chunk)
                if size > LONGEST_MESSAGE:
                    raise httpx2.ReadError(f"the answer has more than {LONGEST_MESSAGE // 1024**2} MB")
                yield chunk

        async def aclose(self) -> None:
            assert isinstance(body, httpx2.AsyncByteStream)  # noqa: S101
            await body.aclose()

    response.stream = Bounded()
