"""One client's connection to the scripted server: parses its requests in order and notices when it disconnects."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TypeAlias, cast

from vmpilot.testing.wire import BadRequest, RequestParser, WireRequest, make_head

Handler: TypeAlias = "Callable[[WireRequest, Connection], Coroutine[object, object, None]]"
Failed: TypeAlias = Callable[[BaseException], None]


class Connection(asyncio.Protocol):
    """Reads requests and has `handle` answer them in order; if the client disconnects, the answer is canceled.

    asyncio sets TCP_NODELAY on the socket by itself. An exception from `handle` goes to `failed` and ends the
    connection. `connected` holds the connection while it is open.
    """

    def __init__(self, handle: Handler, failed: Failed, connected: set[Connection]) -> None:
        self._handle = handle
        self._failed = failed
        self._connected = connected
        self._parser = RequestParser()
        self._waiting: deque[WireRequest] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self.task: asyncio.Task[None] | None = None
        self.on_gone: Callable[[], None] | None = None  # set while an answer is under way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connected.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._waiting.extend(self._parser.feed(data))
        except BadRequest as bad:
            self._refuse(bad)
            return
        if self._parser.wants_continue:
            self._parser.wants_continue = False
            self._transport.write(make_head(100, {}))
        self._start_answering()

    def eof_received(self) -> None:
        self._note_gone()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._note_gone()
        self._connected.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def write(self, data: bytes) -> None:
        """Send, or buffer if the client is slow."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read most of the written data."""
        await self._writable.wait()

    def close(self) -> None:
        """Close the connection gracefully after sending the written data."""
        self._transport.close()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        """Close the connection at once, without reporting a disconnected client."""
        self.on_gone = None
        self._transport.abort()
        if self.task is not None:
            self.task.cancel()

    def _start_answering(self) -> None:
        if self._waiting and self.task is None and not self._transport.is_closing():
            self.task = asyncio.get_running_loop().create_task(self._answer_waiting())
            self.task.add_done_callback(self._note_end)

    async def _answer_waiting(self) -> None:
        while self._waiting and not self._transport.is_closing():
            request = self._waiting.popleft()
            await self._handle(request, self)
            if not request.keep_alive:
                self.close()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self.task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.on_gone = None
            self._failed(error)
            self._transport.abort()
        elif not task.cancelled():
            self._start_answering()  # a request may have arrived since the task last checked

    def _note_gone(self) -> None:
        gone, self.on_gone = self.on_gone, None
        if gone is not None:
            gone()
        if self.task is not None:
            self.task.cancel()

    def _refuse(self, bad: BadRequest) -> None:
        body = f"{bad}\n".encode()
        headers = {"Content-Type": "text/plain", "Content-Length": str(len(body)), "Connection": "close"}
        self._transport.write(make_head(400, headers) + body)
        self._transport.close()
