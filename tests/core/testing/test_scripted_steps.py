"""The steps of a script over real HTTP: framing, floods, errors, bodies, and connections that break or stall."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import httpx
import pytest
from tests.core.testing.exchanges import connect, post, raw_request, read_to_end

from vmpilot.testing import (
    Drop,
    Flood,
    Framing,
    HttpError,
    Raw,
    Reply,
    ScriptedServer,
    Stall,
    Wire,
)

Ask: TypeAlias = Callable[..., dict[str, Any]]


# Framing


def stream_raw(client: httpx.Client, server: ScriptedServer, body: dict[str, Any]) -> list[bytes]:
    with client.stream("POST", f"{server.base_url}/chat/completions", json=body) as response:
        return list(response.iter_raw())


def test_each_event_is_a_chunk_unless_framed_otherwise(client: httpx.Client, ask: Ask) -> None:
    framings = [Framing(), Framing(one_blob=True), Framing(packet_bytes=1), Framing(truncate_at=100)]
    with ScriptedServer([Reply("grüße an alle", framing=framing) for framing in framings]) as server:
        plain, blob, bytewise, short = [stream_raw(client, server, ask(stream=True)) for _ in framings]
    assert len(plain) == 6
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in plain)
    assert len(blob) == 1
    assert {len(piece) for piece in bytewise} == {1}
    assert len(b"".join(bytewise)) == len(blob[0]) == len(b"".join(plain))
    assert len(b"".join(short)) == 100
    assert "grüße".encode() in blob[0]


def test_line_endings_byte_order_mark_and_done(client: httpx.Client, ask: Ask) -> None:
    framings = [Framing(line_end="\r\n"), Framing(line_end="\r"), Framing(byte_order_mark=True), Framing(done=False)]
    with ScriptedServer([Reply("ok", framing=framing) for framing in framings]) as server:
        crlf, cr, marked, endless = [b"".join(stream_raw(client, server, ask(stream=True))) for _ in framings]
    assert crlf.count(b"\r\n\r\n") == 4
    assert crlf.count(b"\n") == crlf.count(b"\r") == 8
    assert cr.count(b"\r\r") == 4
    assert b"\n" not in cr
    assert marked.startswith(b"\xef\xbb\xbfdata: ")
    assert b"[DONE]" not in endless


def test_an_unstreamed_answer_supports_mark_packets_and_cut_too(client: httpx.Client, ask: Ask) -> None:
    framings = [Framing(), Framing(byte_order_mark=True), Framing(packet_bytes=1), Framing(truncate_at=100)]
    with ScriptedServer([Reply("grüße", framing=framing) for framing in framings]) as server:
        plain, marked, bytewise, short = [stream_raw(client, server, ask()) for _ in framings]
    assert b"".join(marked).startswith(b"\xef\xbb\xbf{")
    assert {len(piece) for piece in bytewise} == {1}
    assert json.loads(b"".join(bytewise))["choices"] == json.loads(b"".join(plain))["choices"]
    assert len(b"".join(short)) == 100


# Floods and bytes that are not HTTP


def test_a_flood_has_an_opening_chunks_and_an_end(client: httpx.Client, ask: Ask) -> None:
    flood = Flood("ü-", opening="<", closing=">", times=3, content_type="text/plain; charset=utf-8", status=503)
    with ScriptedServer([flood, Reply("free")]) as server:
        response = post(client, server, ask())
        assert (response.status_code, response.text) == (503, "<ü-ü-ü->")
        assert post(client, server, ask()).status_code == 200


def test_an_endless_flood_lasts_until_the_client_disconnects(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Flood("x" * 10_000)]) as server:
        url = f"{server.base_url}/chat/completions"
        with client.stream("POST", url, json=ask(stream=True)) as response:
            received = 0
            for piece in response.iter_raw():
                received += len(piece)
                if received > 5_000_000:
                    break
        assert server.wait_for_hangup().number == 1


def test_bytes_instead_of_a_response(ask: Ask) -> None:
    with ScriptedServer([Wire(b"\xff\xfe", "SSH-2.0"), Wire(text="x", then="reset")]) as server:
        with connect(server) as sock:
            sock.sendall(raw_request(ask()))
            assert read_to_end(sock) == b"\xff\xfeSSH-2.0"
        with connect(server) as sock:
            sock.sendall(raw_request(ask()))
            with pytest.raises(ConnectionResetError):
                read_to_end(sock)


def test_bytes_that_drip_and_then_silence(ask: Ask) -> None:
    with ScriptedServer([Wire(text="HTTP/1.1", drip=".", interval=0.001), Wire(text="HTTP", then="stall")]) as server:
        with connect(server) as sock:
            sock.sendall(raw_request(ask()))
            received = b""
            while len(received) < 20:
                received += sock.recv(100)
            assert received.startswith(b"HTTP/1.1......")
        server.wait_for_hangup()
        with connect(server) as sock:
            sock.sendall(raw_request(ask()))
            received = b""
            while len(received) < 4:
                received += sock.recv(100)
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.recv(1)


# Errors, raw bodies, drops, stalls


def test_errors(client: httpx.Client, ask: Ask) -> None:
    steps = [
        HttpError(429, "slow down", code="rate_limit_exceeded", headers={"Retry-After": "3"}),
        HttpError(503),
        HttpError(529, body="<html>overloaded</html>", headers={"content-type": "text/html"}),
        HttpError(400, body={"detail": "odd"}),
        HttpError(400, "no", kind="content_filter"),
    ]
    with ScriptedServer(steps) as server:
        limited, down, html, odd, filtered = [post(client, server, ask(stream=True)) for _ in steps]
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert limited.json() == {
        "error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    }
    assert down.json()["error"] == {
        "message": "The script answers with status 503.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert (html.status_code, html.headers["content-type"], html.text) == (529, "text/html", "<html>overloaded</html>")
    assert odd.json() == {"detail": "odd"}
    assert filtered.json()["error"]["type"] == "content_filter"


def test_raw_bodies(client: httpx.Client, ask: Ask) -> None:
    steps = [
        Raw(b"\xff\xfe\0"),
        Raw(text="data: {bad\n\n", content_type="text/event-stream", headers={"X-Odd": "1"}),
        Raw(status=307, headers={"Location": "http://127.0.0.1:9/"}),
        Raw(status=204),
    ]
    with ScriptedServer(steps) as server:
        binary, stream, redirect, nothing = [post(client, server, ask()) for _ in steps]
    assert binary.content == b"\xff\xfe\0"
    assert (stream.text, stream.headers["content-type"], stream.headers["x-odd"]) == (
        "data: {bad\n\n",
        "text/event-stream",
        "1",
    )
    assert (redirect.status_code, redirect.headers["location"]) == (307, "http://127.0.0.1:9/")
    assert (nothing.status_code, nothing.content) == (204, b"")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_drop_before_headers(client: httpx.Client, ask: Ask, *, stream: bool, reset: bool) -> None:
    with ScriptedServer([Drop(reset=reset)]) as server:
        with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
            post(client, server, ask(stream=stream))
        assert not server.requests[0].client_gone.is_set()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", ["headers", 3])
def test_drop_after_headers_or_events(ask: Ask, after: Any, *, stream: bool, reset: bool) -> None:
    with ScriptedServer([Drop(after, Reply("one two three"), reset=reset)]) as server, connect(server) as sock:
        sock.sendall(raw_request(ask(stream=stream)))
        received = b""
        ending = "closed"
        try:
            while part := sock.recv(65536):
                received += part
        except ConnectionResetError:
            ending = "reset"
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert ending == ("reset" if reset else "closed")
    assert rest.count(b"data: ") == (after if stream and after == 3 else 0)
    assert (rest == b"") == (after == "headers")
    assert b"0\r\n\r\n" not in rest


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after", ["request", "headers", 2])
def test_a_stall_lasts_until_the_client_disconnects(ask: Ask, after: Any, *, stream: bool) -> None:
    with ScriptedServer([Stall(after, Reply("one two three"))]) as server:
        with connect(server) as sock:
            sock.sendall(raw_request(ask(stream=stream)))
            server.wait_for_requests(1)
            if after != "request":
                assert sock.recv(15) == b"HTTP/1.1 200 OK"
            assert not server.requests[0].client_gone.is_set()
        gone = server.wait_for_hangup()
    assert gone is server.requests[0]
    assert gone.client_gone.is_set()
    assert gone.finished_at is None


def test_a_stall_with_comments_sends_no_content(client: httpx.Client, ask: Ask) -> None:
    stall = Stall(2, Reply("one two"), keep_alive_comments=True, interval=0.001)
    with ScriptedServer([stall]) as server:
        with client.stream("POST", f"{server.base_url}/chat/completions", json=ask(stream=True)) as response:
            lines = [line for line, _ in zip(response.iter_lines(), range(40), strict=False) if line]
        server.wait_for_hangup()
    assert [line[:5] for line in lines[:2]] == ["data:", "data:"]
    assert set(lines[2:]) == {": keep-alive"}


def test_a_disconnect_during_a_long_answer_is_detected(client: httpx.Client, ask: Ask) -> None:
    with ScriptedServer([Reply("x" * 100, chunks=100, gap=0.01)]) as server:
        with client.stream("POST", f"{server.base_url}/chat/completions", json=ask(stream=True)) as response:
            next(response.iter_lines())
        assert server.wait_for_hangup().number == 1
