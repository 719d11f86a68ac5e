"""Reads a command's pipe in the event loop: decodes, masks, passes output on, and detects a flood."""

import asyncio
import codecs
import os
from collections.abc import Callable
from contextlib import suppress
from math import inf

from vmpilot.machine.processes.output import PlainText
from vmpilot.machine.secrets.masking import MaskedStream, Masker

_INTERVAL = 0.05
_PILE_LIMIT = 512 * 1024
_CHUNK = 64 * 1024
_LAST_READS = 16
"""A full pipe of a mebibyte, after the last writer is gone."""


class OutputReader:
    """The output of one command, from the reading end of its pipe, which it owns.

    `keep` gets it as plain text with secrets masked; `on_output` gets it decoded only. After `flood` bytes, reading
    stops. A `pace` above 0 is how many seconds to wait after each 64 KiB, which slows the writers down.
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
        """Whether reading has ended: end of file, or a flood."""
        return self._pipe is None

    @property
    def unfinished(self) -> str:
        """The last, incomplete line, which is held back until it is complete: usually a prompt."""
        return self._masker.mask_unfinished(self._plain.unfinished)

    def start(self, on_change: Callable[[], None]) -> None:
        """Start reading; `on_change` is called after each read, and must not raise."""
        self._on_change = on_change
        self._listen()

    def finish(self) -> None:
        """Read what is in the pipe now, without waiting for writers, and pass on everything that was held back."""
        for _ in range(_LAST_READS):
            if not self._read():
                break
        self.close()
        self._accept_text(self._decoder.decode(b"", final=True))
        self._keep_plain(self._masked.feed(self._plain.flush()) + self._masked.flush())
        self.live.flush()

    def close(self) -> None:
        """Stop reading; writers get SIGPIPE."""
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
        """Read once; returns how many bytes."""
        if self._pipe is None:
            return 0
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self._pipe, _CHUNK)
            if not data:
                self.close()
        self.flooded = self.flooded or len(data) > self._room
        self._accept_text(self._decoder.decode(data[: self._room]))
        self._room -= min(len(data), self._room)
        if self.flooded:
            self.close()
        return len(data)

    def _accept_text(self, text: str) -> None:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self.live.add(text)
        if plain := self._plain.feed(text):
            self._keep_plain(self._masked.feed(plain))


class LiveOutput:
    """Collects text and delivers it joined: the first at once, then at most every 50 ms. Nothing is dropped.

    More than half a million characters are delivered sooner, so memory is bounded.
    """

    def __init__(self, deliver: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._pile: list[str] = []
        self._pile_chars = 0
        self._allowed_from = -inf
        self._stopped = False

    @property
    def due(self) -> float:
        """When to call `deliver_due`, in seconds of the caller's clock: infinity if there is nothing to deliver."""
        if not self._pile:
            return inf
        return -inf if self._pile_chars > _PILE_LIMIT else self._allowed_from

    def add(self, text: str) -> None:
        """Add a piece; nothing is delivered yet."""
        if text and not self._stopped:
            self._pile.append(text)
            self._pile_chars += len(text)

    def deliver_due(self, now: float) -> None:
        """Deliver the collected text, if it is due."""
        if self.due <= now:
            self._allowed_from = now + _INTERVAL
            self.flush()

    def stop(self) -> None:
        """Deliver nothing from now on."""
        self._stopped = True
        self._pile.clear()

    def flush(self) -> None:
        """Deliver the collected text now."""
        if self._pile:
            text = "".join(self._pile)
            self._pile.clear()
            self._pile_chars = 0
            self._deliver(text)
