"""The body of a chat completions response, as bytes, into chunks and on into events; knows no HTTP client.

A stream of server-sent events where the server streams, a whole answer where it does not, and all that servers send in
the place of either.
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
"""With one of these begins each line of a stream: data, a comment, event, id, retry."""

_LARGEST = 64 * 1024 * 1024
_DRAIN_SECONDS = 0.2


async def read_completion(body: AsyncIterator[bytes], target: ModelTarget) -> AsyncGenerator[BackendEvent, None]:
    """The events of one answer: deltas as they come, then one `MessageCompleted`.

    `body` is read to its end, so that its connection can serve the next call. What it raises passes, unless the model
    had told its end: then only the usage can be missing. Raises `StreamInterrupted` where the answer is not complete,
    `BadResponse` where it is none, and the error of a refusal that stands in its place.
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
    """Read on for a moment; some servers leave the response open behind its end, or break it off."""
    import asyncio

    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in body:
                pass
    except Exception:  # noqa: BLE001  the answer is complete, whatever the HTTP client says of what follows
        return


class ChunkStream:
    """Takes in a body's bytes wherever they were cut and gives its chunks, as JSON values.

    `is_over` once nothing can follow; `end_is_told` if the server said so by `[DONE]`, or sent a whole answer.
    """

    def __init__(self, target: ModelTarget) -> None:
        self.is_over = False
        self.end_is_told = False
        self._target = target
        self._events: EventParser | None = None
        self._document: bytearray | None = None

    def feed(self, received: bytes) -> Iterator[object]:
        """The chunks that `received` completes; raises `BadResponse` where it cannot be read."""
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
            # What does not end like a chunk was cut within it.
            events = [data for data in self._events.finish() if data.rstrip().endswith((b"}", b"[DONE]"))]
            yield from self._read_events(events)
        self.is_over = True

    def _begin(self, received: bytes) -> bytes:
        """Find out by its first byte that is not blank what the body is; gives what follows the blanks."""
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
            if data.strip():  # some keep the connection alive with empty ones
                yield self._read_json(data)

    def _read_json(self, data: bytes) -> object:
        try:
            # Bytes that are no UTF-8 become lone surrogates, which nothing runs and nothing sends.
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
