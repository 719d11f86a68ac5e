"""One request and its answer: plays a scripted step to the client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from itertools import repeat
from typing import Any, assert_never

from vmpilot.testing.answers import (
    encode_completion,
    encode_error,
    frame_events,
    stream_events,
    wants_stream,
    wants_usage,
)
from vmpilot.testing.connection import Connection
from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import Drop, Flood, HttpError, Point, Raw, Reply, Stall, Step, Wire
from vmpilot.testing.wire import LAST_CHUNK, make_chunks, make_head

_EVENT_STREAM = "text/event-stream; charset=utf-8"


class Exchange:
    """Plays one step on one connection."""

    def __init__(self, connection: Connection, request: RecordedRequest, *, keep_alive: bool) -> None:
        self._connection = connection
        self._request = request
        self._keep_alive = keep_alive
        self._body: Mapping[str, Any] = request.body if isinstance(request.body, dict) else {}

    async def play(self, step: Step) -> None:
        """Answer with `step`; canceled if the client disconnects."""
        match step:
            case Reply():
                await self._play_reply(step)
            case HttpError():
                content_type, body = encode_error(step)
                await self._send_whole(step.status, content_type, body, step.headers)
            case Raw():
                await self._send_whole(step.status, step.content_type, step.payload, step.headers)
            case Drop():
                await self._send_part(step.reply, step.after)
                self._break_off(reset=step.reset)
            case Stall():
                await self._send_part(step.reply, step.after)
                await self._stall(step)
            case Flood():
                await self._flood(step)
            case Wire():
                await self._play_wire(step)
            case _:
                assert_never(step)

    async def _play_reply(self, reply: Reply) -> None:
        if wants_stream(self._body):
            await self._stream(reply)
            return
        await asyncio.sleep(reply.delay)
        body = encode_completion(reply, self._model)
        if reply.framing.packet_bytes:
            self._send_chunked_head("application/json")
            self._connection.write(make_chunks(frame_events(reply, [body])))
            self._finish(LAST_CHUNK)
            return
        await self._send_whole(200, "application/json", body, {})

    @property
    def _model(self) -> str:
        return str(self._body.get("model", "scripted"))

    def _events(self, reply: Reply) -> list[bytes]:
        return stream_events(reply, self._model, include_usage=wants_usage(self._body))

    async def _stream(self, reply: Reply) -> None:
        pieces = frame_events(reply, self._events(reply))
        self._send_stream_head()
        if reply.delay or reply.gap:
            await self._send_slowly(pieces, reply)
        else:
            self._connection.write(make_chunks(pieces))
        await self._connection.drain()
        self._finish(LAST_CHUNK)

    async def _send_slowly(self, pieces: list[bytes], reply: Reply) -> None:
        opening = pieces[:1] if len(pieces) > 1 else []
        rest = pieces[len(opening) :]
        self._connection.write(make_chunks(opening))
        await asyncio.sleep(reply.delay)
        if not reply.gap:
            self._connection.write(make_chunks(rest))
            return
        for piece in rest:
            self._connection.write(make_chunks([piece]))
            await asyncio.sleep(reply.gap)

    async def _send_part(self, reply: Reply, until: Point) -> None:
        if until == "request":
            return
        count = 0 if until == "headers" else until
        if wants_stream(self._body):
            self._send_stream_head()
            self._connection.write(make_chunks(frame_events(reply, self._events(reply)[:count])))
        else:
            body = encode_completion(reply, self._model)
            self._connection.write(self._make_head(200, "application/json", {"Content-Length": str(len(body))}))
            self._connection.write(body[: len(body) // 2 if count else 0])
        await self._connection.drain()

    async def _stall(self, stall: Stall) -> None:
        comments = stall.keep_alive_comments and wants_stream(self._body) and stall.after != "request"
        while comments:
            self._connection.write(make_chunks([b": keep-alive\n\n"]))
            await asyncio.sleep(stall.interval)
        await asyncio.Event().wait()

    async def _flood(self, flood: Flood) -> None:
        self._send_chunked_head(flood.content_type, status=flood.status)
        self._connection.write(make_chunks([flood.opening.encode()]))
        piece = make_chunks([flood.piece.encode()])
        for _ in repeat(None) if flood.times is None else repeat(None, flood.times):
            self._connection.write(piece)
            await self._connection.drain()
            await asyncio.sleep(flood.interval)
        self._finish(make_chunks([flood.closing.encode()]) + LAST_CHUNK)

    async def _play_wire(self, wire: Wire) -> None:
        self._connection.write(wire.payload)
        await self._connection.drain()
        while wire.drip:
            self._connection.write(wire.drip.encode())
            await asyncio.sleep(wire.interval)
        if wire.then == "stall":
            await asyncio.Event().wait()
        self._break_off(reset=wire.then == "reset")

    def _break_off(self, *, reset: bool) -> None:
        self._finish(b"")
        if reset:
            self._connection.reset()
        else:
            self._connection.close()

    def _send_stream_head(self) -> None:
        self._send_chunked_head(_EVENT_STREAM)

    def _send_chunked_head(self, content_type: str, *, status: int = 200) -> None:
        self._connection.write(self._make_head(status, content_type, {"Transfer-Encoding": "chunked"}))

    async def _send_whole(self, status: int, content_type: str, body: bytes, headers: Mapping[str, str]) -> None:
        bare = status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        length = {} if bare else {"Content-Length": str(len(body))}
        head = self._make_head(status, content_type, {**length, **headers})
        if bare or self._request.method == "HEAD":
            body = b""
        at = max(len(body) - 1, 0)
        self._connection.write(head + body[:at])
        await self._connection.drain()
        self._finish(body[at:])

    def _make_head(self, status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
        ours = {"Content-Type": content_type, "X-Request-Id": f"req_{self._request.number}"}
        if not self._keep_alive:
            ours["Connection"] = "close"
        taken = {name.lower() for name in headers}
        kept = {name: value for name, value in ours.items() if name.lower() not in taken}
        return make_head(status, {**kept, **headers})

    def _finish(self, last: bytes) -> None:
        # Reported before the last byte is sent, so that a client that has read everything finds the record complete.
        self._request.finished_at = time.monotonic()
        self._connection.on_gone = None
        self._connection.write(last)
