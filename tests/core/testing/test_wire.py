"""The HTTP parser, fed with bytes in chunks of every size."""

from __future__ import annotations

import pytest

from vmpilot.testing.wire import BadRequest, RequestParser, WireRequest, make_chunks, make_head

PLAIN = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two:2\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
)
BARE = b"GET /d HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("portion", [1, 2, 7, 10_000])
def test_requests_in_chunks(portion: int) -> None:
    parser, stream = RequestParser(), PLAIN + CHUNKED + BARE + PLAIN
    portions = [stream[at : at + portion] for at in range(0, len(stream), portion)]
    requests = [request for data in portions for request in parser.feed(data)]
    plain = WireRequest(
        "POST", "/a?b=c", {"host": "x", "x-two": "1, 2", "content-length": "5"}, b"hello", keep_alive=True
    )
    assert requests[0] == requests[3] == plain
    assert requests[1][1:] == ("/c", {"transfer-encoding": "chunked", "connection": "close"}, b"hello", False)
    assert requests[2] == WireRequest("GET", "/d", {}, b"", keep_alive=False)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET /a SPDY/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * 300_000,
    ],
)
def test_invalid_http_is_rejected(data: bytes) -> None:
    with pytest.raises(BadRequest):
        list(RequestParser().feed(data))


def test_a_client_that_expects_continue_is_detected() -> None:
    parser = RequestParser()
    assert list(parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")) == []
    assert parser.wants_continue
    assert len(list(parser.feed(b"x"))) == 1
    assert not parser.wants_continue


def test_heads_and_chunks() -> None:
    assert make_head(529, {"A": "b"}) == b"HTTP/1.1 529 Unknown\r\nA: b\r\n\r\n"
    assert make_chunks([b"abc", b"", b"0123456789abcdef"]) == b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n"
