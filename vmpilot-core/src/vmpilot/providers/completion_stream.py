"""Turns the bytes of a chat completions response into chunks and then into events, independent of any HTTP client.

The body may be a stream of server-sent events, a complete answer, or anything else that servers send instead.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from vmpilot.contract.errors import BadResponse
from vmpilot.contract.events import BackendEvent
from vmpilot.providers.completion_reader import CompletionReader
from vmpilot.providers.sse import EventParser
from vmpilot.providers.target import ModelTarget

_BLANK = b"\xef\xbb\xbf\r\n\t "
_BEGINNINGS = b"d:eir"
"""Each line of a stream starts with one of these: data, a comment, event, id, retry."""

_LARGEST = 64 * 1024 * 1024
_DRAIN_SECONDS = 0.2


async def read_completion(body: AsyncIterator[bytes], target: ModelTarget) -> AsyncGenerator[BackendEvent, None]:
    """The events of one answer: deltas as they arrive, then one `MessageCompleted`.

    `body` is read to its end, so that its connection can be reused for the next call. Its exceptions propagate unless
    the model had already finished: then at most the usage is missing. Raises `StreamInterrupted` if the answer is
    incomplete, `BadResponse` if it is invalid, and the matching error if the server sent an error response instead.
    """
    stream, reader = ChunkStream(target), CompletionReader(target)
    while not stream.is_over:
        received = await _receive(body, reader)
        for chunk in stream.feed(received) if received else stream.finish():
            for event in reader.read(chunk):
                yield event
    if stream.end_is_told:
        await _drain(body)
    yield reader.complete(end_is_told=stream.end_is_told)


async def _receive(body: AsyncIterator[bytes], reader: CompletionReader) -> bytes:
    try:
        return await anext(body, b"")
    except Exception:
        if reader.finish_reason is None:
            raise
        return b""


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read on briefly; some servers leave the response open after its end, or drop the connection."""
    import asyncio

    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in body:
                pass
    except Exception:  # noqa: BLE001  the answer is complete, whatever the HTTP client says of what follows
        return


class ChunkStream:
    """Parses a body, split at arbitrary bytes, into its chunks as JSON values.

    `is_over` is set once nothing can follow, `end_is_told` if the server sent `[DONE]` or a complete answer.
    """

    def __init__(self, target: ModelTarget) -> None:
        self.is_over = False
        self.end_is_told = False
        self._target = target
        self._events: EventParser | None = None
        self._document: bytearray | None = None

    def feed(self, received: bytes) -> Iterator[object]:
        """The chunks that `received` completes; raises `BadResponse` if it cannot be parsed."""
        if self._events is None and self._document is None:
            received = self._begin(received)
        if self._document is not None:
            self._document += received
            self._check_size(len(self._document))
        elif self._events is not None:
            yield from self._read_events(self._events.feed(received))
            self._check_size(self._events.held)

    def finish(self) -> Iterator[object]:
        """The chunk that the end of the body completes."""
        if self._document is not None:
            yield self._read_document(bytes(self._document))
            self.end_is_told = True
        elif self._events is not None:
            # If the end does not look like that of a chunk, the chunk was truncated.
            events = [data for data in self._events.finish() if data.rstrip().endswith((b"}", b"[DONE]"))]
            yield from self._read_events(events)
        self.is_over = True

    def _begin(self, received: bytes) -> bytes:
        """Detect the kind of body by its first nonblank byte; returns the data after the blanks."""
        told = received.lstrip(_BLANK)
        if told.startswith(b"<"):
            raise BadResponse(
                f"{self._target} sent a web page instead of an answer; check the base URL, which usually ends in /v1"
            )
        if told and told[:1] in _BEGINNINGS:
            self._events = EventParser()
        elif told:
            self._document = bytearray()
        return told

    def _read_events(self, events: list[bytes]) -> Iterator[object]:
        for data in events:
            if data.startswith(b"[DONE]"):
                self.is_over = self.end_is_told = True
                return
            if data.strip():  # some servers keep the connection alive with empty ones
                yield self._read_json(data)

    def _read_json(self, data: bytes) -> object:
        try:
            # Bytes that are not UTF-8 become lone surrogates, which are never run or sent.
            value: object = json.loads(data.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            raise self._unreadable(data) from error
        return value

    def _read_document(self, data: bytes) -> object:
        value = self._read_json(data)
        match value:
            case {"choices": [_, *_]} | {"error": _} | {"object": "error"}:
                return value
            case _:
                raise self._unreadable(data)

    def _check_size(self, size: int) -> None:
        if size > _LARGEST:
            raise BadResponse(f"{self._target} sent {size} bytes without finishing; try again or choose another model")

    def _unreadable(self, data: bytes) -> BadResponse:
        said = self._target.quote(data[:2000].decode("utf-8", "replace"))
        return BadResponse(f"{self._target} sent an invalid answer ({said}); try again or check the base URL")
