"""Standard streams that always work: closed ones, full devices, small character sets. Imports nothing that is slow."""

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
    """Standard output cannot be written to; the text is empty if its reader has gone, which is no news.

    It is no `OSError`, so that code that expects one from a file or a server does not take it for that.
    """


@contextmanager
def safe_streams() -> Iterator[None]:
    """Standard streams with which `print` raises nothing but `OutputError`, and only for standard output.

    A closed one leads nowhere, and characters that its encoding lacks are replaced. Streams that the caller has put in
    place of the process's own stay.
    """
    _open_closed_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  a descriptor, which stays open
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout, errors="replace")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_ErrorOutput(2, "wb", closefd=False), sys.stderr, errors="backslashreplace")
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def print_json(text: str, *, end: str = "\n") -> None:
    """Print JSON so that nothing is replaced: what the encoding of standard output lacks is escaped."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))
    print(text, end=end, flush=True)


def _open_closed_descriptors() -> None:
    """Otherwise the next file, such as the log, would become standard output, and what is printed part of it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number


def _text(raw: io.FileIO, stream: TextIO | None, *, errors: str) -> TextIO:
    """A stream like the process's own, above another file.

    Nothing is between them: a buffer that Ctrl-C interrupts while it is written out is written a second time.
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
        """Write all of it: without a buffer above nobody would write the rest."""
        rest = memoryview(data).cast("B")
        while rest:
            try:
                written: int | None = super().write(rest)
            except OSError as error:
                return self._fail(data, error)
            if written is None:
                select.select([], [self], [])  # another process has made the terminal or pipe non-blocking
            else:
                rest = rest[written:]
        return memoryview(data).nbytes

    def _fail(self, _data: Any, error: OSError) -> int:
        place = self._place()
        self._discard()
        raise OutputError("" if isinstance(error, BrokenPipeError) else f"Cannot write to {place}: {error.strerror}")

    def _discard(self) -> None:
        """Python writes again what is left when it ends, and would complain."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)

    def _place(self) -> str:
        try:
            path = os.readlink(f"/proc/self/fd/{self.fileno()}")  # noqa: PTH115  pathlib is slow to import
        except OSError:
            path = ""
        return f"standard output ({path})" if path.startswith("/") else "standard output"


class _ErrorOutput(_Output):
    """Remarks that cannot be written are lost; the request goes on."""

    def _fail(self, data: Any, _error: OSError) -> int:
        self._discard()
        return memoryview(data).nbytes
