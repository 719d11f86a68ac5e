"""HTTP/1.1 as bytes (RFC 9112): parses incoming requests and builds the heads and chunks of responses.

It uses no sockets and supports only the parts of HTTP that clients of model providers use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

LAST_CHUNK = b"0\r\n\r\n"
_MAX_HEAD = 256 * 1024


class BadRequest(ValueError):
    """The received data is not HTTP/1.1; nothing more can be read from that connection."""


class WireRequest(NamedTuple):
    """A complete request: header names in lower case, the body without its transfer coding."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


class _Head(NamedTuple):
    method: str
    target: str
    version: str
    headers: dict[str, str]

    @property
    def keep_alive(self) -> bool:
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish if self.version == "HTTP/1.1" else "keep-alive" in wish


class RequestParser:
    """Collects bytes until a request is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._chunks = bytearray()
        self.wants_continue = False  # the client waits for `100 Continue` before it sends the body

    def feed(self, data: bytes) -> Iterator[WireRequest]:
        """Add bytes and return the requests that they complete; raises BadRequest."""
        self._buffer += data
        while True:
            head = self._head = self._head or self._read_head()
            body = None if head is None else self._take_body(head.headers)
            if head is None or body is None:
                return
            self._head, self.wants_continue = None, False
            yield WireRequest(head.method, head.target, head.headers, body, head.keep_alive)

    def _read_head(self) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise BadRequest("the head of the request is too long")
            return None
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        head = _parse_head(lines)
        self.wants_continue = head.headers.get("expect", "").lower() == "100-continue"
        return head

    def _take_body(self, headers: Mapping[str, str]) -> bytes | None:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._take_chunked()
        size = _parse_size(headers.get("content-length", "0"), 10)
        return self._take(size) if len(self._buffer) >= size else None

    def _take_chunked(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = _parse_size(self._buffer[:end].split(b";")[0].decode("latin-1"), 16)
            if size == 0:
                return self._take_trailers(end)
            whole = end + 2 + size + 2
            if len(self._buffer) < whole:
                return None
            self._chunks += self._take(whole)[end + 2 : -2]
        return None

    def _take_trailers(self, end: int) -> bytes | None:
        stop = self._buffer.find(b"\r\n\r\n", end)
        if stop < 0:
            return None
        self._take(stop + 4)
        body, self._chunks = bytes(self._chunks), bytearray()
        return body

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _parse_head(lines: list[str]) -> _Head:
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(f"not a request line of HTTP/1.1: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest("a header line without a colon")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return _Head(words[0], words[1], words[2], headers)


def _parse_size(text: str, base: int) -> int:
    try:
        size = int(text.strip(), base)
    except ValueError:
        raise BadRequest(f"not a size: {text[:40]!r}") from None
    if size < 0:
        raise BadRequest(f"not a size: {text[:40]!r}")
    return size


def make_head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and the headers of an answer, with the empty line after them."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def make_chunks(pieces: Iterable[bytes]) -> bytes:
    """Each string of bytes as a chunk of the chunked transfer coding; empty ones, which would end it, are skipped."""
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece])
