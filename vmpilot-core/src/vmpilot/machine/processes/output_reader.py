"""Reads a command's pipe with the event loop: decodes, masks, passes on, notices a flood. It keeps nothing."""

import asyncio
import codecs
import os
from collections.abc import Callable
from contextlib import suppress

from vmpilot.machine.processes.live_output import LiveOutput
from vmpilot.machine.processes.output import PlainText
from vmpilot.machine.secrets.masking import MaskedStream, Masker

_CHUNK = 64 * 1024
_LAST_READS = 16
"""What a full pipe of a mebibyte can still hold when everybody who could write is gone."""


class OutputReader:
    """The output of one command, from the reading end of its pipe, which it owns.

    `keep` gets it as plain text with secrets masked; `on_output` as it came, decoded. After `flood` bytes no more is
    read. A `pace` above 0 are seconds to wait after each 64 KiB: whoever writes faster is made to wait.
    """

    def __init__(
        self,
        pipe: int,
        *,
        flood: int,
        keep: Callable[[str], None],
        masker: Masker,
        on_output: Callable[[str], None] = lambda _: None,
        pace: float = 0.0,
    ) -> None:
        os.set_blocking(pipe, False)
        self.live = LiveOutput(on_output)
        self.flooded = False
        self._pipe: int | None = pipe
        self._room = flood
        self._pace = pace
        self._resume: asyncio.TimerHandle | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._plain = PlainText()
        self._masker = masker
        self._masked = MaskedStream(masker)
        self._keep_plain = keep
        self._loop = asyncio.get_running_loop()
        self._on_change: Callable[[], None] = lambda: None

    @property
    def ended(self) -> bool:
        """Whether no more will be read: end of file, or a flood."""
        return self._pipe is None

    @property
    def unfinished(self) -> str:
        """The last line as far as it has come, which is held back until it is whole: a prompt, as a rule."""
        return self._masker.mask_unfinished(self._plain.unfinished)

    def start(self, on_change: Callable[[], None]) -> None:
        """Begin to read; `on_change` is called after each read, and must not raise."""
        self._on_change = on_change
        self._listen()

    def finish(self) -> None:
        """Take what is in the pipe now, and pass on everything that was held back. Writers are not waited for."""
        for _ in range(_LAST_READS):
            if not self._read():
                break
        self.close()
        self._accept_text(self._decoder.decode(b"", final=True))
        self._keep_plain(self._masked.feed(self._plain.flush()) + self._masked.flush())
        self.live.flush()

    def close(self) -> None:
        """Stop reading; whoever still writes gets SIGPIPE."""
        if self._resume is not None:
            self._resume.cancel()
        if self._pipe is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None

    def _listen(self) -> None:
        self._resume = None
        if self._pipe is not None:
            self._loop.add_reader(self._pipe, self._read_and_notify)

    def _read_and_notify(self) -> None:
        size = self._read()
        if self._pace and size == _CHUNK and self._pipe is not None:
            self._loop.remove_reader(self._pipe)
            self._resume = self._loop.call_later(self._pace, self._listen)
        self._on_change()

    def _read(self) -> int:
        """Read once; give how many bytes came."""
        if self._pipe is None:
            return 0
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self._pipe, _CHUNK)
            if not data:
                self.close()
        self._accept(data)
        return len(data)

    def _accept(self, data: bytes) -> None:
        self.flooded = self.flooded or len(data) > self._room
        self._accept_text(self._decoder.decode(data[: self._room]))
        self._room -= min(len(data), self._room)
        if self.flooded:
            self.close()

    def _accept_text(self, text: str) -> None:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self.live.add(text)
        if plain := self._plain.feed(text):
            self._keep_plain(self._masked.feed(plain))
