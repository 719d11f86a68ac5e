"""Servers behind HTTP that answer what they should not: an error that names the server, soon, and in little memory."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from vmpilot.contract import Secret, ToolProblem
from vmpilot.tools.mcp import McpServer

from .conftest import ECHO, MakeServers, call

Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


def reply(
    handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, kind: str = "application/json", **more: str
) -> None:
    handler.send_response(status)
    for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | more).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def reply_result(handler: BaseHTTPRequestHandler, request: dict[str, Any], result: dict[str, Any]) -> None:
    reply(handler, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())


@contextmanager
def serve(call_answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that shakes hands and lists `echo`; calls get `call_answer`. Gives its URL and the keys it was sent."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            match request.get("method"):
                case "initialize":
                    info = {"name": "raw", "version": "1"}
                    result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
                    reply_result(self, request, result)
                case "tools/list":
                    reply_result(self, request, {"tools": [ECHO]})
                case "tools/call":
                    call_answer(self, request)
                case _:
                    reply(self, b"", status=202)

        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            reply(self, b"", status=405)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mcp", keys
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def huge(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    reply(handler, b"x" * (9 * 1024 * 1024))


def huge_event(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    reply(handler, b"data: " + b"x" * (9 * 1024 * 1024) + b"\n\n", kind="text/event-stream")


def bomb(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    reply(handler, gzip.compress(b" " * 10_000_000), Content_Encoding="gzip")


def no_stream(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    reply(handler, b"data: {}\n\n", kind="text/event-stream")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (huge, "more than 8 MB"),
        (huge_event, "SSE stream failed"),
        (bomb, "compressed, which was not asked for"),
        (no_stream, "Failed to parse SSE message"),
        (lambda handler, request: reply(handler, b"<html>", kind="text/html"), "Unexpected content type: text/html"),
        (lambda handler, request: reply(handler, b"{", status=200), "Failed to parse JSON response"),
        (lambda handler, request: reply(handler, b"no", status=401, kind="text/plain"), "error response (HTTP 401)"),
        (lambda handler, request: reply(handler, b"no", status=500, kind="text/plain"), "error response (HTTP 500)"),
        (lambda handler, request: reply(handler, b"", status=202), "202 Accepted"),
        (lambda handler, request: handler.connection.close(), ""),
    ],
    ids=["huge", "huge event", "bomb", "event", "html", "json", "401", "500", "202", "closed"],
)
async def test_an_answer_that_is_none(make_servers: MakeServers, answer: Answer, said: str) -> None:
    with serve(answer) as (url, _):
        tools = await make_servers(far=McpServer(url=url, timeout=20)).tools()
        with pytest.raises(ToolProblem) as caught:
            await call(tools, "mcp__far__echo")
    assert str(caught.value).startswith("MCP server far: ")
    assert said in str(caught.value)


async def test_a_redirect_elsewhere_does_not_take_the_key_along(make_servers: MakeServers) -> None:
    with serve(huge) as (elsewhere, keys):

        def redirect(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
            reply(handler, b"", status=307, Location=elsewhere)

        with serve(redirect) as (url, own_keys):
            server = McpServer(url=url, timeout=20, headers={"Authorization": Secret("Bearer s3cret-t0ken")})
            tools = await make_servers(far=server).tools()
            with pytest.raises(ToolProblem, match="not followed"):
                await call(tools, "mcp__far__echo")
    assert set(own_keys) == {"Bearer s3cret-t0ken"}
    assert keys == []


async def test_an_answer_that_never_comes(make_servers: MakeServers) -> None:
    over = threading.Event()

    def wait(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        over.wait(20)

    with serve(wait) as (url, _):
        tools = await make_servers(far=McpServer(url=url, timeout=0.3)).tools()
        with pytest.raises(ToolProblem, match=r"far: it gave no answer within 0\.3 s"):
            await call(tools, "mcp__far__echo")
        over.set()
