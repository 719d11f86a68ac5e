"""Standard input with and without words: it never blocks forever, and takes only text of limited size."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vmpilot.cli import _standard_input as standard_input
from vmpilot.cli._standard_input import LARGEST_INPUT
from vmpilot.contract import UsageError
from vmpilot.testing import Reply, ScriptedServer

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here

Start = Callable[..., "subprocess.Popen[str]"]
STOPPED = "vmpilot: No data on standard input for 2 s; continuing without it. "


@pytest.mark.parametrize("kind", ["pipe", "socket", "fifo"])
def test_an_idle_pipe_does_not_block_a_request(program: Start, tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        reading, other = os.pipe()
    elif kind == "socket":
        ours, theirs = socket.socketpair()
        reading, other = ours.detach(), theirs.detach()
    else:
        os.mkfifo(tmp_path / "fifo")
        reading = other = os.open(tmp_path / "fifo", os.O_RDWR)
    with ScriptedServer([Reply("Fine.")]) as server:
        process = program("do it", server=server, stdin=reading)
        out, err = process.communicate()
    assert (process.returncode, out) == (0, "Fine.\n")
    assert err.startswith(STOPPED)
    assert err.count("\n") == 1
    assert server.requests[0].messages[1]["content"] == "do it"
    for descriptor in {reading, other}:
        os.close(descriptor)


def test_a_pause_can_exceed_the_timeout_for_the_first_byte(program: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second block arrives when the program waits for it; the third never does."""
    reading, writing = os.pipe()
    with ScriptedServer([Reply("Fine.")]) as server:
        process = program("do it", server=server, stdin=reading)
        os.write(writing, b"one\n")
        assert process.stderr is not None
        remark = process.stderr.readline()
        out, _ = process.communicate()
    assert (process.returncode, out) == (0, "Fine.\n")
    assert remark.startswith("vmpilot: No data on standard input for 10 s; continuing with the 4 bytes so far. ")
    assert server.requests[0].messages[1]["content"] == "do it\n\none"
    os.close(reading)
    os.close(writing)


def test_without_words_input_is_read_to_the_end(program: Start) -> None:
    reading, writing = os.pipe()
    with ScriptedServer([Reply("Fine.")]) as server:
        process = program(server=server, stdin=reading)
        os.close(reading)
        assert process.stderr is not None
        assert process.stderr.readline() == "vmpilot: Reading the request from standard input until it ends.\n"
        os.write(writing, b"do ")
        os.write(writing, b"it\n")
        os.close(writing)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "Fine.\n", "")
    assert server.requests[0].messages[1]["content"] == "do it"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x89PNG\r\n\x1a\n", "(byte 0x89 at offset 0)"),
        (b"text\0text", "(byte 0x00 at offset 4)"),
        (b"\x1f\x8b\x08", "(byte 0x8b at offset 1)"),
        ("Grüße".encode("latin-1"), "(byte 0xfc at offset 2)"),
        ("Grüße".encode("utf-16"), "(byte 0xff at offset 0)"),
        ("a".encode("utf-16-le"), "(byte 0x00 at offset 1)"),
        ("✓".encode()[:2], "(byte 0xe2 at offset 0)"),
        (b"x" * (LARGEST_INPUT + 1), "Standard input is larger than 4 MiB."),
    ],
)
@pytest.mark.parametrize("words", [[], ["do it"]])
def test_input_that_is_not_text_is_rejected(
    program: Start, tmp_path: Path, words: list[str], data: bytes, told: str
) -> None:
    (tmp_path / "data-file").write_bytes(data)
    with ScriptedServer([]) as server, (tmp_path / "data-file").open() as file:
        process = program(*words, server=server, stdin=file)
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert told in err
    assert "name that file in the request" in err
    assert len(server.requests) == 0


def test_unreadable_input_is_rejected(program: Start, tmp_path: Path) -> None:
    with ScriptedServer([]) as server, (tmp_path / "write-only").open("w") as file:
        process = program("do it", server=server, stdin=file)
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.startswith("vmpilot: Cannot read standard input: Bad file descriptor. ")


def test_endless_input_is_rejected(program: Start) -> None:
    with ScriptedServer([]) as server, subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        process = program("do it", server=server, stdin=endless.stdout)
        _, err = process.communicate()
        endless.kill()
    assert process.returncode == 2
    assert "larger than 4 MiB" in err


def test_a_byte_order_mark_is_removed(here: Here) -> None:
    with ScriptedServer([Reply("Fine.")]) as server:
        here("do it", server=server, stdin="\ufeffGrüße")
    assert server.requests[0].messages[1]["content"] == "do it\n\nGrüße"


@given(st.binary(max_size=64) | st.text(max_size=32).map(str.encode), st.booleans())
@example("a✓".encode()[:-1], False)
def test_text_is_read_exactly_or_rejected(data: bytes, is_whole: bool) -> None:
    try:
        text = standard_input._decode(data, is_complete=is_whole)
    except UsageError:
        if is_whole:
            with pytest.raises((UnicodeDecodeError, AssertionError)):
                assert "\0" not in data.decode()
        return
    assert "\0" not in text
    rest = data.removeprefix("\ufeff".encode()).removeprefix(text.encode())
    assert len(rest) < (1 if is_whole else 4)
