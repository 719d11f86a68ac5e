"""The files of a kept job: its supervisor writes them, and every later VMPilot reads them. Standard library only.

A job has a folder: `job.json` (what was started), `state.json` (its processes, and how it ended), and its masked
output in segments `output.POSITION`, of which the last two are kept. Only their owner can read them.
"""

import codecs
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vmpilot.machine.processes.output import PlainText
from vmpilot.machine.processes.process_tree import start_time
from vmpilot.machine.secrets.masking import MaskedStream, Masker

SEGMENT = 4 * 1024 * 1024
"""Bytes of one segment of the output; at most two are kept."""

_JOB, _STATE = "job.json", "state.json"


def write_job(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what is started. Raises OSError."""
    _write(folder / _JOB, facts)


def read_job(folder: Path) -> dict[str, Any]:
    """What was started; empty if that cannot be read."""
    return _read(folder / _JOB)


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the whole state. Raises OSError."""
    _write(folder / _STATE, state)


def read_state(folder: Path) -> dict[str, Any]:
    """The state; empty if the supervisor has not written one."""
    return _read(folder / _STATE)


def this_boot() -> str:
    """Distinguishes the processes of now from those before a restart, or in another container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def is_running(state: Mapping[str, Any], *, name: str) -> bool:
    """Whether the process `name` (`warden` or `shell`) of the state still runs, and is not another with its id."""
    number, started = state.get(name), state.get(f"{name}_started")
    if not isinstance(number, int) or started is None or state.get("boot") != this_boot():
        return False
    return bool(start_time(number) == started)


class OutputWriter:
    """Masks a job's output and writes it into segments. If the disk is full, output is lost without an error."""

    def __init__(self, folder: Path, secrets: Iterable[str]) -> None:
        self._folder = folder
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._plain = PlainText()
        self._masked = MaskedStream(Masker(secrets))
        self._position = 0
        self._room = 0
        self._descriptor: int | None = None

    def feed(self, data: bytes) -> None:
        """The next piece of output."""
        text = self._decoder.decode(data).replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._append(self._masked.feed(self._plain.feed(text)))

    def close(self) -> None:
        """The output has ended."""
        text = self._decoder.decode(b"", final=True)
        self._append(self._masked.feed(self._plain.feed(text) + self._plain.flush()) + self._masked.flush())
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, text: str) -> None:
        data = text.encode(errors="replace")
        while data:
            try:
                if self._room == 0:
                    self._begin_segment()
                assert self._descriptor is not None  # noqa: S101
                written = os.write(self._descriptor, data[: self._room])
            except OSError:
                return
            self._position += written
            self._room -= written
            data = data[written:]

    def _begin_segment(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        for _, old in segments(self._folder)[:-1]:
            with suppress(OSError):
                old.unlink()
        path = self._folder / f"output.{self._position}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._room = SEGMENT


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments that are kept, oldest first, each with its position."""
    found = ((path.name.partition(".")[2], path) for path in folder.glob("output.*"))
    return sorted((int(position), path) for position, path in found if position.isdecimal())


def output_length(folder: Path) -> int:
    """Bytes of the whole output, including those no longer kept."""
    with suppress(IndexError, OSError):
        position, path = segments(folder)[-1]
        return position + path.stat().st_size
    return 0


def read_output(folder: Path, start: int, end: int) -> str:
    """The output between two positions, as far as it is kept."""
    pieces = []
    for position, path in segments(folder):
        with suppress(OSError), path.open("rb") as file:
            file.seek(max(0, start - position))
            pieces.append(file.read(max(0, end - max(position, start))))
    return b"".join(pieces).decode("utf-8", "replace")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(content).encode())
    finally:
        os.close(descriptor)
    beside.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
