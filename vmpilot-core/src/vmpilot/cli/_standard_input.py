"""Standard input as a request or a part of one: text of limited size, read with a timeout."""

from __future__ import annotations

import codecs
import os
import select
import stat
import sys

from vmpilot.contract import UsageError

LARGEST_INPUT = 4 * 1024 * 1024
"""Bytes. More than any model reads at once."""

_FIRST_WAIT = 2.0
"""Seconds for the first byte if there are words, too: a program may inherit a pipe that is never written to."""

_NEXT_WAIT = 10.0
"""Seconds for each further byte: programs pause between writes."""


def read_standard_input(*, is_request: bool) -> str:
    """What is piped or redirected in; a terminal or /dev/null is not read.

    If it `is_request` (there are no words), it is read to the end, however long that takes. Otherwise reading stops
    with a note when no data arrive. Raises `UsageError` if it is not UTF-8 text, too large or unreadable.
    """
    if sys.stdin is None or sys.stdin.closed or stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode):
        return ""
    try:
        data, is_complete = _read(sys.stdin.fileno(), waits=is_request)
    except OSError as error:
        raise UsageError(
            f"Cannot read standard input: {error.strerror}. Redirect it from a file or from /dev/null."
        ) from error
    if len(data) > LARGEST_INPUT:
        raise UsageError(
            f"Standard input is larger than {LARGEST_INPUT >> 20} MiB. "
            "Save it to a file, and name that file in the request."
        )
    return _decode(data, is_complete=is_complete)


def _read(descriptor: int, *, waits: bool) -> tuple[bytes, bool]:
    """The data, at most one block more than the limit, and whether that is all."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = bytearray()
    while len(data) <= LARGEST_INPUT:
        patience = _NEXT_WAIT if data else _FIRST_WAIT
        if not poll.poll(patience * 1000):
            if not waits:
                _print_timeout(len(data), patience)
                return bytes(data), False
            if not data:
                print("vmpilot: Reading the request from standard input until it ends.", file=sys.stderr, flush=True)
            poll.poll()
        try:
            block = os.read(descriptor, 1 << 16)
        except BlockingIOError:  # no data are ready after all
            continue
        if not block:
            return bytes(data), True
        data += block
    return bytes(data), False


def _print_timeout(size: int, seconds: float) -> None:
    rest = f"with the {size:,} bytes so far" if size else "without it"
    print(
        f"vmpilot: No data on standard input for {seconds:.0f} s; continuing {rest}. "
        "To include all of a slow program's output, save it to a file first.",
        file=sys.stderr,
        flush=True,
    )


def _decode(data: bytes, *, is_complete: bool) -> str:
    try:
        text, _ = codecs.utf_8_decode(data, "strict", is_complete)
        at = data.find(0)
    except UnicodeDecodeError as error:
        text, at = "", error.start
    if at >= 0:
        raise UsageError(
            f"Standard input is not UTF-8 text (byte 0x{data[at]:02x} at offset {at}). Convert it, "
            "as with `iconv -f latin1 -t utf-8`, or save it to a file and name that file in the request."
        )
    return text.removeprefix("\ufeff")
