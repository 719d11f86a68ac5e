"""A response's bytes become events, however they are split and whatever replaces an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BadResponse,
    MessageCompleted,
    ModelError,
    QuotaExhausted,
    StreamInterrupted,
    TextDelta,
    Usage,
)
from vmpilot.providers import ModelName, ModelTarget, read_completion
from vmpilot.providers.completion_stream import ChunkStream

HERE = ModelTarget(ModelName("openai", "m"))
HI = b'data: {"choices": [{"delta": {"content": "Gr\xc3\xbc\xc3\x9fe"}}]}\n\n'
STOP = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE: dict[str, Any] = {
    "choices": [{"message": {"role": "assistant", "content": "All at once."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4},
}


class Body:
    """A body in chunks; an exception among them is raised, and the chunks read are counted."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces
        self.given = 0

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        for piece in self._pieces:
            self.given += 1
            if isinstance(piece, Exception):
                raise piece
            yield piece


async def _read(*pieces: bytes | Exception) -> list[BackendEvent]:
    return [event async for event in read_completion(Body(*pieces)(), HERE)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n\n", b": hello\n\n", b"event: x\n", b"\xef\xbb\xbf\r\n "])
async def test_splitting_the_bytes_does_not_change_the_events(before: bytes, size: int) -> None:
    body = before + HI + HI + STOP + DONE
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert await _read(*pieces) == [
        TextDelta("Grüße"),
        TextDelta("Grüße"),
        MessageCompleted(AssistantMessage("GrüßeGrüße")),
    ]


@pytest.mark.parametrize("size", [1, 1000])
async def test_an_unstreamed_answer_to_a_streaming_request(size: int) -> None:
    body = b"\n" + json.dumps(WHOLE).encode()
    assert await _read(*(body[at : at + size] for at in range(0, len(body), size))) == [
        TextDelta("All at once."),
        MessageCompleted(AssistantMessage("All at once."), Usage(3, 4)),
    ]


async def test_an_end_by_done_alone_marks_the_message_as_cut() -> None:
    (_, completed) = await _read(HI, DONE)
    assert completed == MessageCompleted(AssistantMessage("Grüße", finish="cut"))


async def test_the_body_is_read_to_its_end_for_the_next_call() -> None:
    body = Body(HI + STOP + DONE, b": bye\n\n", b"")
    assert len([event async for event in read_completion(body(), HERE)]) == 2
    assert body.given == 3


async def test_a_body_that_stays_open_after_its_end_does_not_delay_the_answer() -> None:
    async def stay_open() -> AsyncGenerator[bytes, None]:
        yield HI + STOP + DONE
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        assert len([event async for event in read_completion(stay_open(), HERE)]) == 2


async def test_a_connection_lost_after_the_finish_reason_is_an_answer() -> None:
    events = await _read(HI, STOP, ConnectionResetError())
    assert events[-1] == MessageCompleted(AssistantMessage("Grüße"))
    assert len(await _read(HI, STOP, DONE, ConnectionResetError())) == 2
    with pytest.raises(ConnectionResetError):
        await _read(HI, ConnectionResetError())


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", BadResponse, "an empty answer"),
        (b" \r\n", BadResponse, "an empty answer"),
        (DONE, BadResponse, "an empty answer"),
        (b": wait\n\n: wait\n\n", BadResponse, "an empty answer"),
        (b"\n<html><h1>Log in</h1>", BadResponse, "a web page instead of an answer; check the base URL"),
        (b"Hello.", BadResponse, r"an invalid answer \(Hello\.\)"),
        (b"{}", BadResponse, r"an invalid answer \(\{\}\)"),
        (b"[1]", BadResponse, r"an invalid answer \(\[1\]\)"),
        (b'{"ok": tru', BadResponse, "an invalid answer"),
        (b"[" * 100_000, BadResponse, "an invalid answer"),
        (b'{"error": {"message": "no", "type": "insufficient_quota"}}', QuotaExhausted, "no credit"),
        (HI + b'data: {"choi\n\n' + DONE, BadResponse, "an invalid answer"),
        (b"data: \xff\xfe\n\n", BadResponse, "an invalid answer"),
        (HI, StreamInterrupted, "in the middle of its answer"),
        (HI + b'data: {"choices": [{"del', StreamInterrupted, "in the middle of its answer"),
    ],
)
async def test_an_invalid_answer_is_an_error(body: bytes, kind: type[ModelError], words: str) -> None:
    with pytest.raises(kind, match=words):
        await _read(body)


async def test_empty_events_are_ignored() -> None:
    assert len(await _read(b"data:\n\n", HI, b"data: \n\ndata:\n\n", STOP, DONE)) == 2


async def test_invalid_utf_8_stays_distinguishable_from_text() -> None:
    events = await _read(HI.replace("Grüße".encode(), b"Gr\xfc\xdfe"), STOP, DONE)
    assert events[0] == TextDelta("Gr\udcfc\udcdfe")


async def test_a_last_event_without_an_empty_line_counts() -> None:
    assert len(await _read(HI, STOP.rstrip())) == 2
    assert len(await _read(HI, DONE.rstrip())) == 2


@pytest.mark.parametrize("beginning", [b"data: ", b"{"])
def test_an_endless_answer_is_cut_off(beginning: bytes) -> None:
    stream = ChunkStream(HERE)
    piece = b"x" * 2**24
    for received in (beginning, piece, piece, piece):
        assert list(stream.feed(received)) == []
    with pytest.raises(BadResponse, match="bytes without finishing"):
        list(stream.feed(piece))
