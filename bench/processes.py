"""Measured processes: their time, CPU time and memory as the system reports them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 180.0
"""Maximum seconds of one run."""

_SPAWN = Path(__file__).with_name("spawn.py")


class RunFailed(Exception):
    """A program did not behave as the measure expects; the message describes what it did."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Resources that a process used from start to end, in seconds and bytes; `cpu` includes its commands."""

    wall: float
    cpu: float
    max_rss: int


class MeasuredProcess:
    """A started program; call `finish` on it. Its output is read at once, as the next program in a pipe would."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> None:
        self._command = command
        self._errors = os.fdopen(os.memfd_create("errors"), "r+b")
        reading, writing = os.pipe()
        self._report = os.fdopen(reading)
        try:
            self._spawn = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SPAWN), str(writing), *command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        line = self._report.readline()
        if not line:
            self._close()
            raise RunFailed(f"{command[0]} could not be started: {self._last_words()}")
        pid, started = line.split()
        self.started_at = float(started)
        self._pid = int(pid)
        self._clock = ~self._pid << 3 | 2  # how clock_gettime(2) names the CPU clock of another process

    def cpu_so_far(self) -> float:
        """CPU seconds of the running process and its threads so far, without its commands."""
        return time.clock_gettime(self._clock)

    def finish(self) -> Finished:
        """Wait for the end. Raises `RunFailed` if the program fails or takes more than `PATIENCE` seconds."""
        timer = threading.Timer(PATIENCE, os.kill, (self._pid, signal.SIGKILL))
        timer.start()
        try:
            self._skip_output()
            ended, cpu, max_rss, code = self._report.readline().split()
        finally:
            timer.cancel()
            self._close()
        last_words = self._last_words()
        if code != "0":
            raise RunFailed(f"exit code {code} of {' '.join(self._command)}: {last_words}")
        return Finished(float(ended) - self.started_at, float(cpu), int(max_rss))

    def _skip_output(self) -> None:
        assert self._spawn.stdout is not None
        while os.read(self._spawn.stdout.fileno(), 1 << 16):
            pass

    def _close(self) -> None:
        self._report.close()
        self._spawn.communicate()

    def _last_words(self) -> str:
        with self._errors:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(no output)"
