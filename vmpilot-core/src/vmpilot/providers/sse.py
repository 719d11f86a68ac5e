"""Parses server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) of any chat API."""

from __future__ import annotations

_MARK = b"\xef\xbb\xbf"


class EventParser:
    """Parses bytes, split anywhere, into the data of the events that they complete.

    `held` is the number of bytes buffered until the next event is complete.
    """

    def __init__(self) -> None:
        self.held = 0
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []
        self._started = False

    def feed(self, received: bytes) -> list[bytes]:
        """The data of each event that `received` completes."""
        self._pieces.append(received)
        self.held += len(received)
        if b"\n" not in received and b"\r" not in received:
            return []
        block = b"".join(self._pieces)
        if not self._started:
            self._started = True
            block = block.removeprefix(_MARK)
        if b"\r" in block:
            block = _unify_line_ends(block)
        *lines, rest = block.split(b"\n")
        self._pieces = [rest] if rest else []
        events = self._read_lines(lines)
        self.held = len(rest) + sum(map(len, self._data))
        return events

    def finish(self) -> list[bytes]:
        """The data of a last event that the stream ended without an empty line."""
        return self.feed(b"\n\n")

    def _read_lines(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                events.append(b"\n".join(self._data) if len(self._data) > 1 else self._data[0])
                self._data = []
        return events


def _unify_line_ends(block: bytes) -> bytes:
    """Normalize line ends to line feeds; a final carriage return stays, because its line feed may still arrive."""
    tail = b"\r" if block.endswith(b"\r") else b""
    body = block[: len(block) - len(tail)]
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
