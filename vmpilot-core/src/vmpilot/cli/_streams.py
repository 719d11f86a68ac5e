"""Standard streams that always work, even if closed, full or without Unicode. Imports nothing slow."""

from __future__ import annotations

import io
import json
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from typing import Any, TextIO


class OutputError(Exception):
    """Standard output cannot be written to. The text is empty if the reader closed the pipe, which needs no message.

    Not an `OSError`, so that code that handles one from a file or a server does not catch it.
    """


@contextmanager
def safe_streams() -> Iterator[None]:
    """Replace the standard streams so that `print` raises only `OutputError`, and only for standard output.

    A closed stream goes to /dev/null, and characters that the encoding lacks are replaced. Streams that the caller
    substituted for the process's own are kept.
    """
    _open_closed_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  stays open
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout, errors="replace")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_ErrorOutput(2, "wb", closefd=False), sys.stderr, errors="backslashreplace")
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def print_json(text: str, *, end: str = "\n") -> None:
    """Print JSON without loss: characters that the encoding of standard output lacks are escaped."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))
    print(text, end=end, flush=True)


def _open_closed_descriptors() -> None:
    """Otherwise the next file that is opened, such as the log, would become standard output and be printed into."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number


def _text(raw: io.FileIO, stream: TextIO | None, *, errors: str) -> TextIO:
    """A text stream like the process's own, on another file.

    There is no buffer in between: one that Ctrl-C interrupts during a flush is written a second time.
    """
    return io.TextIOWrapper(
        raw,
        encoding="utf-8" if stream is None else stream.encoding,
        errors=errors,
        newline="\n",
        line_buffering=bool(getattr(stream, "line_buffering", False)),
        write_through=bool(getattr(stream, "write_through", False)),
    )


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        """Write all of it; without a buffer, a partial write would lose the rest."""
        rest = memoryview(data).cast("B")
        while rest:
            try:
                written: int | None = super().write(rest)
            except OSError as error:
                return self._fail(data, error)
            if written is None:
                select.select([], [self], [])  # another process made the terminal or pipe non-blocking
            else:
                rest = rest[written:]
        return memoryview(data).nbytes

    def _fail(self, _data: Any, error: OSError) -> int:
        try:
            path = os.readlink(f"/proc/self/fd/{self.fileno()}")  # noqa: PTH115  pathlib is slow to import
        except OSError:
            path = ""
        place = f"standard output ({path})" if path.startswith("/") else "standard output"
        self._discard()
        raise OutputError("" if isinstance(error, BrokenPipeError) else f"Cannot write to {place}: {error.strerror}")

    def _discard(self) -> None:
        """Redirect to /dev/null: Python flushes again when it exits, and would report the error."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


class _ErrorOutput(_Output):
    """Messages that cannot be written are lost; the request continues."""

    def _fail(self, data: Any, _error: OSError) -> int:
        self._discard()
        return memoryview(data).nbytes
