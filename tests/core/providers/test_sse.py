"""The parser of server-sent events, however the bytes are split."""

from __future__ import annotations

import pytest

from vmpilot.providers.sse import EventParser

STREAM = (
    b"\xef\xbb\xbf: a comment\n\ndata: one\n\nevent: error\r\ndata:two\r\n\r\nid: 7\rdata:  three\r\r"
    b"data: first\ndata: second\n\n\n\ndata: gr\xc3\xbc\xc3\x9fe\n\n"
)
EVENTS = [b"one", b"two", b" three", b"first\nsecond", b"gr\xc3\xbc\xc3\x9fe"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_splitting_the_bytes_does_not_change_the_server_sent_events(size: int) -> None:
    parser = EventParser()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS
    assert parser.finish() == []


def test_a_last_event_without_an_empty_line_is_emitted_at_the_end() -> None:
    parser = EventParser()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.finish() == [b"[DONE]"]
