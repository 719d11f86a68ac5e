"""The connection to a server over streamable HTTP: the SDK's transport on a client with bounded responses."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from vmpilot.config import McpServer
from vmpilot.contract import Proxies
from vmpilot.providers import RoutedTransport
from vmpilot.tools.mcp._wire import (
    LONGEST_MESSAGE,
    TOO_LONG,
    Message,
    RequestId,
    error_reply,
    find_reply_id,
    is_reply,
    read_messages,
)

if TYPE_CHECKING:
    import httpx2
    from mcp.client._transport import TransportStreams

_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0


@asynccontextmanager
async def http_transport(
    server: McpServer, *, proxies: Proxies, on_status: Callable[[int], None]
) -> AsyncIterator[TransportStreams]:
    """The streams for the SDK's session; the caller limits the time. `on_status` gets the status of each response,
    which the SDK does not report.
    """
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {name: value.reveal() for name, value in server.headers.items()} | {"accept-encoding": "identity"}
    timeout = httpx2.Timeout(_WRITE_SECONDS, connect=_CONNECT_SECONDS, read=None)

    async def note_status(response: httpx2.Response) -> None:
        on_status(response.status_code)

    hooks = {"response": [note_status, _repair]}
    if server.url is not None:
        proxies.find(server.url)  # an unusable proxy is an error before anything is sent
    transport = cast("httpx2.AsyncBaseTransport", RoutedTransport(httpx2, proxies, httpx2.create_ssl_context()))
    async with (
        httpx2.AsyncClient(
            headers=headers, timeout=timeout, event_hooks=hooks, transport=transport, trust_env=False
        ) as client,
        streamable_http_client(str(server.url), http_client=client, max_sse_event_size=LONGEST_MESSAGE) as streams,
    ):
        yield streams


async def _repair(response: httpx2.Response) -> None:
    """Let the SDK read the response in repaired form (see `_wire`), so that it never waits for a malformed reply.

    A fault of one response fails one call, where the SDK would end the session or drop the response.
    """
    import httpx2

    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
    body: httpx2.AsyncByteStream = response.stream

    class Repaired(httpx2.AsyncByteStream):
        def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
            self._chunks = chunks

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._chunks

        async def aclose(self) -> None:
            await self._chunks.aclose()
            await body.aclose()

    request = _request_id(response.request)
    kind = response.headers.get("content-type", "").lower()
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        del response.headers["content-encoding"]
        response.headers["content-type"] = "application/json"
        response.stream = Repaired(_fail(request, "its response is compressed, which was not requested"))
    elif kind.startswith("text/event-stream"):
        unread = httpx2.Response(200, headers={"content-type": kind}, stream=body, request=response.request)
        response.headers["content-type"] = "text/event-stream"  # the repaired content is ASCII
        response.stream = Repaired(_repaired_events(unread, request))
    elif kind.startswith("application/json") and request is not None:
        response.stream = Repaired(_repaired_body(body, request, refused=response.is_error))
    else:
        response.stream = Repaired(_bounded(body))


def _request_id(request: httpx2.Request) -> RequestId | None:
    """The id of the JSON-RPC request that was sent, or None if it was not a request."""
    if request.method != "POST":
        return None
    sent = json.loads(request.content)
    return sent["id"] if "method" in sent and "id" in sent else None


async def _fail(request: RequestId | None, text: str) -> AsyncGenerator[bytes, None]:
    yield json.dumps(error_reply(request, text)).encode()


async def _bounded(body: httpx2.AsyncByteStream) -> AsyncGenerator[bytes, None]:
    """The body, up to the limit."""
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > LONGEST_MESSAGE:
            return
        yield chunk


async def _repaired_body(
    body: httpx2.AsyncByteStream, request: RequestId, *, refused: bool
) -> AsyncGenerator[bytes, None]:
    """The reply. If HTTP `refused` the request, a body that is not a reply stays unchanged."""
    import httpx2

    data = bytearray()
    try:
        async for chunk in body:
            data += chunk
            if len(data) > LONGEST_MESSAGE:
                reply = error_reply(request, f"its response {TOO_LONG}")
                break
        else:
            reply = _reply_in(bytes(data), request)
    except httpx2.TransportError as error:
        reply = error_reply(request, f"its response broke off ({error})")
    except ValueError as error:
        if refused:
            yield bytes(data)
            return
        reply = error_reply(request, f"its response is not a JSON-RPC reply ({error})")
    yield json.dumps(reply).encode()


def _reply_in(data: bytes, request: RequestId) -> Message:
    """The reply in a response's body, with any id. Raises `ValueError` without one."""
    replies = [message for message in read_messages(data) if is_reply(message)]
    if not replies:
        raise ValueError("it is a request or a notification")
    own = [reply for reply in replies if reply["id"] == request]
    return (own or replies)[0] | {"id": request}


async def _repaired_events(response: httpx2.Response, request: RequestId | None) -> AsyncGenerator[bytes, None]:
    import httpx2

    problem = "its response ended without a reply"
    resumable = False
    try:
        async for event in httpx2.EventSource(response, max_event_size=LONGEST_MESSAGE):
            resumable = resumable or bool(event.id)
            messages = _messages_in(event.data, request) if event.event == "message" else []
            for data in map(json.dumps, messages):
                yield _encode_event(data, event)
            if not messages:
                yield _encode_event("", event)
    except httpx2.SSEError as error:
        problem, resumable = f"its response could not be read ({error})", False
    except httpx2.TransportError as error:
        problem = f"its response broke off ({error})"
    if request is not None and not resumable:
        yield b"data: " + json.dumps(error_reply(request, problem)).encode() + b"\n\n"


def _messages_in(data: str, request: RequestId | None) -> list[Message]:
    try:
        messages = read_messages(data.encode(errors="surrogatepass"))
    except ValueError:
        broken = find_reply_id(data.encode(errors="surrogatepass"))
        return [] if broken is None else [error_reply(broken, "its response is not valid JSON")]
    return [message | {"id": request} if request is not None and is_reply(message) else message for message in messages]


def _encode_event(data: str, event: httpx2.ServerSentEvent) -> bytes:
    """Format: https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    lines = [f"data: {data}"] if data else []
    lines += [f"id: {event.id}"] if event.id else []
    lines += [f"retry: {event.retry}"] if event.retry is not None else []
    return ("\n".join([*lines, "", ""])).encode() if lines else b""
