"""HTTP servers with invalid answers: a prompt error that names the server, in little memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vmpilot.contract import Secret, Tool, ToolError, ToolOutcome
from vmpilot.tools.mcp import McpServer, McpServers, McpSettings

from .conftest import ECHO, MakeServers, call
from .hostile import replies

VIDEO = "[content of unknown type video: not shown]"

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
    """A server that lists `echo` and answers calls with `call_answer`. Yields its URL and the keys it received."""
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
        (huge, "exceeds 8 MB"),
        (huge_event, "exceeded the 8388608 byte limit"),
        (bomb, "compressed, which was not requested"),
        (no_stream, "its response ended without a reply"),
        (lambda handler, request: reply(handler, b"<html>", kind="text/html"), "Unexpected content type: text/html"),
        (lambda handler, request: reply(handler, b"{", status=200), "its response is not a JSON-RPC reply"),
        (lambda handler, request: reply(handler, b"no", status=401, kind="text/plain"), "error response (HTTP 401)"),
        (lambda handler, request: reply(handler, b"no", status=500, kind="text/plain"), "error response (HTTP 500)"),
        (lambda handler, request: reply(handler, b"", status=202), "202 Accepted"),
        (lambda handler, request: handler.connection.close(), ""),
    ],
    ids=["huge", "huge event", "bomb", "event", "html", "json", "401", "500", "202", "closed"],
)
async def test_a_response_that_is_not_a_reply(make_servers: MakeServers, answer: Answer, said: str) -> None:
    with serve(answer) as (url, _):
        tools = await make_servers(far=McpServer(url=url, timeout=20)).tools()
        with pytest.raises(ToolError) as caught:
            await call(tools, "mcp__far__echo")
    assert str(caught.value).startswith("MCP server far: ")
    assert said in str(caught.value)


def reply_raw(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    """Answer with the characters in the call, as a body or as an event."""
    given = request["params"]["arguments"]
    if "raw" not in given:
        text = json.dumps(given)
        reply_result(handler, request, {"content": [{"type": "text", "text": text}]})
        return
    data = given["raw"].replace("$ID", str(request["id"])).encode("latin-1")
    if given["event"]:
        lines = data.replace(b"\r", b"").rstrip(b"\n").split(b"\n")
        data = b": hello\n\ndata: ping\n\n" + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    reply(handler, data, kind="text/event-stream" if given["event"] else "application/json")


async def answer(tools: tuple[Tool, ...], raw: str, *, event: bool) -> ToolOutcome | str:
    try:
        return await call(tools, "mcp__m__echo", raw=raw, event=event)
    except ToolError as problem:
        return str(problem).removeprefix("MCP server m: ")


OK = '{"content": [{"type": "text", "text": "A"}]}'


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (f'{{"jsonrpc":"2.0","id":$ID,"result":{OK}}}', ToolOutcome("A")),
        (f'{{"jsonrpc":"2.0","id":999,"result":{OK}}}', ToolOutcome("A")),
        (f'[{{"jsonrpc":"2.0","method":"x"}},{{"jsonrpc":"2.0","id":$ID,"result":{OK}}}]', ToolOutcome("A")),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":"caf\xe9"}}', ToolOutcome("caf\ufffd")),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":"a\\ud83d b"}}', ToolOutcome("a\ufffd b")),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"video"},"B"]}}', ToolOutcome(f"{VIDEO}\nB")),
        ('{"jsonrpc":"2.0","id":$ID,"result":null}', "its result is null instead of an object"),
        ('{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"busy"}}', "busy"),
    ],
)
async def test_a_sloppy_reply_over_http(
    make_servers: MakeServers, raw: str, expected: ToolOutcome | str, *, event: bool
) -> None:
    with serve(reply_raw) as (url, _):
        tools = await make_servers(m=McpServer(url=url, timeout=60)).tools()
        assert await answer(tools, raw, event=event) == expected


async def test_one_broken_answer_does_not_end_the_session(make_servers: MakeServers, notices: list[str]) -> None:
    def break_off(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        if "broken" not in request["params"]["arguments"]:
            reply_raw(handler, request)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", request["params"]["arguments"]["broken"])
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"jsonrpc"')
        handler.close_connection = True

    with serve(break_off) as (url, _):
        tools = await make_servers(m=McpServer(url=url, timeout=60)).tools()
        for kind in ("application/json", "text/event-stream"):
            with pytest.raises(ToolError, match="m: its response broke off"):
                await call(tools, "mcp__m__echo", broken=kind)
            assert await call(tools, "mcp__m__echo", n=1) == ToolOutcome('{"n": 1}')
    assert notices == ["starting the MCP server m"]


async def test_a_session_that_the_server_lost_is_restarted(make_servers: MakeServers, notices: list[str]) -> None:
    forgotten = True

    def forget(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        if forgotten:
            body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}'
            reply(handler, body, status=404)
        else:
            reply_raw(handler, request)

    with serve(forget) as (url, _):
        tools = await make_servers(m=McpServer(url=url, timeout=60)).tools()
        with pytest.raises(ToolError, match="lost: Session not found"):
            await call(tools, "mcp__m__echo", n=1)
        forgotten = False
        assert await call(tools, "mcp__m__echo", n=1) == ToolOutcome('{"n": 1}')
    assert notices == ["starting the MCP server m"] * 2


async def _examine(url: str, folder: Path, raws: list[bytes]) -> None:
    servers = McpServers(McpSettings({"m": McpServer(url=url, timeout=60)}), folder=folder, environment={})
    try:
        tools = await servers.tools()
        for raw in raws:
            for event in (False, True):
                outcome, other = await asyncio.gather(
                    answer(tools, raw.decode("latin-1"), event=event), call(tools, "mcp__m__echo", n=1)
                )
                assert not str(outcome).startswith(("no response", "the connection was lost")), raw
                assert other == ToolOutcome('{"n": 1}')
    finally:
        await servers.close()


@settings(
    max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(raws=st.lists(replies(), min_size=20, max_size=20))
def test_any_reply_over_http_ends_its_call_and_no_other(tmp_path: Path, raws: list[bytes]) -> None:
    with serve(reply_raw) as (url, _):
        asyncio.run(_examine(url, tmp_path / "kept", raws))


async def test_a_redirect_elsewhere_does_not_receive_the_key(make_servers: MakeServers) -> None:
    with serve(huge) as (elsewhere, keys):

        def redirect(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
            reply(handler, b"", status=307, Location=elsewhere)

        with serve(redirect) as (url, own_keys):
            server = McpServer(url=url, timeout=20, headers={"Authorization": Secret("Bearer s3cret-t0ken")})
            tools = await make_servers(far=server).tools()
            with pytest.raises(ToolError, match="not followed"):
                await call(tools, "mcp__far__echo")
    assert set(own_keys) == {"Bearer s3cret-t0ken"}
    assert keys == []


async def test_an_answer_that_never_arrives(make_servers: MakeServers) -> None:
    over = threading.Event()

    def wait(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        over.wait(20)

    with serve(wait) as (url, _):
        tools = await make_servers(far=McpServer(url=url, timeout=0.3)).tools()
        with pytest.raises(ToolError, match=r"far: no response within 0\.3 s"):
            await call(tools, "mcp__far__echo")
        over.set()
