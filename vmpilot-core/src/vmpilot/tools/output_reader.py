"""Reads a command's pipe with the event loop: decodes, keeps head and tail, passes on live, notices a flood."""

import asyncio
import codecs
import os
from collections.abc import Callable
from contextlib import suppress

from vmpilot.tools.live_output import LiveOutput
from vmpilot.tools.output import CappedText, OutputBuffer, OutputLimits, PlainText

_CHUNK = 64 * 1024
_LAST_READS = 16
"""What a full pipe of a mebibyte can still hold when everybody who could write is gone."""


class OutputReader:
    """The output of one command, from the reading end of its pipe, which it owns."""

    def __init__(self, pipe: int, limits: OutputLimits, on_output: Callable[[str], None]) -> None:
        os.set_blocking(pipe, False)
        self.live = LiveOutput(on_output)
        self.flooded = False
        self._pipe: int | None = pipe
        self._room = limits.flood
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._plain = PlainText()
        self._buffer = OutputBuffer(head=limits.head, tail=limits.tail)
        self._loop = asyncio.get_running_loop()
        self._on_change: Callable[[], None] = lambda: None

    @property
    def ended(self) -> bool:
        """Whether no more will be read: end of file, or a flood."""
        return self._pipe is None

    def start(self, on_change: Callable[[], None]) -> None:
        """Begin to read; `on_change` is called after each read, and must not raise."""
        self._on_change = on_change
        if self._pipe is not None:
            self._loop.add_reader(self._pipe, self._read_and_tell)

    def finish(self) -> None:
        """Take what is in the pipe now, and pass on everything that was held back. Writers are not waited for."""
        for _ in range(_LAST_READS):
            if not self._read():
                break
        self.close()
        self._keep(self._decoder.decode(b"", final=True))
        self._buffer.append(self._plain.flush())
        self.live.flush()

    def capped(self) -> CappedText:
        """Give what was kept, as plain text."""
        return self._buffer.capped()

    def close(self) -> None:
        """Stop reading; whoever still writes gets SIGPIPE."""
        if self._pipe is not None:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None

    def _read_and_tell(self) -> None:
        self._read()
        self._on_change()

    def _read(self) -> bool:
        """Read once; tell whether there was something."""
        if self._pipe is None:
            return False
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self._pipe, _CHUNK)
            if not data:
                self.close()
        self._accept(data)
        return bool(data)

    def _accept(self, data: bytes) -> None:
        self.flooded = self.flooded or len(data) > self._room
        self._keep(self._decoder.decode(data[: self._room]))
        self._room -= min(len(data), self._room)
        if self.flooded:
            self.close()

    def _keep(self, text: str) -> None:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self.live.add(text)
        self._buffer.append(self._plain.feed(text))
