"""Runs the command line in this process if no terminal is needed, else as a program on a pseudo-terminal.

The backend is the sample without a model library, made visible as if it were installed.
"""

from __future__ import annotations

import errno
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vmpilot.cli import main
from vmpilot.testing import ScriptedServer

KEY = "sk-cli-0123456789abcdef"


@pytest.fixture
def sample_path(sample_folders: Callable[..., tuple[Path, ...]]) -> Path:
    """A folder for `sys.path` in which the sample backend is installed."""
    return sample_folders("bare")[0]


@pytest.fixture
def variables(tmp_path: Path, sample_path: Path) -> dict[str, str]:
    """The environment of a user who has set only an API key."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(sample_path),
        "VMPILOT_CONFIG_DIR": str(tmp_path / "config"),
        "VMPILOT_DATA_DIR": str(tmp_path / "data"),
        "VMPILOT_CACHE_DIR": str(tmp_path / "cache"),
        "VMPILOT_BACKEND": "bare",
        "VMPILOT_API_KEY": KEY,
        "VMPILOT_ATTEMPTS": "1",
    }


@dataclass(frozen=True)
class Outcome:
    """The output and exit code of a run."""

    out: str
    err: str
    code: int


@dataclass
class Here:
    """Runs the command line in this process."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def __call__(
        self,
        *arguments: str,
        server: ScriptedServer | None = None,
        stdin: str | None = None,
        backend: str | None = None,
    ) -> Outcome:
        """Run the program; `stdin` is redirected in; None means /dev/null."""
        options = [] if server is None else ["--base-url", server.base_url, "--model", "m"]
        with self._standard_input(stdin).open() as file:
            self.monkeypatch.setattr(sys, "stdin", file)
            try:
                code = main([*arguments, *options], backend=backend)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        printed = self.capsys.readouterr()
        assert KEY not in printed.out + printed.err
        return Outcome(printed.out, printed.err, code)

    def _standard_input(self, text: str | None) -> Path:
        if text is None:
            return Path(os.devnull)
        path = self.folder / "standard-input"
        path.write_text(text)
        return path


@pytest.fixture
def here(
    variables: Mapping[str, str],
    sample_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Here:
    """Runs the command line in this process, in an empty folder: `outcome = here("words", server=server)`."""
    for name in [name for name in os.environ if name.startswith(("VMPILOT_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(sample_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Here(capsys, monkeypatch, tmp_path)


@dataclass
class Screen:
    """A program on a pseudo-terminal, which is its standard input, output and error and its controlling terminal."""

    pid: int
    descriptor: int
    text: str = ""
    code: int | None = None
    _buffer: bytearray = field(default_factory=bytearray)

    def wait_for(self, *words: str, times: int = 1, timeout: float = 15.0) -> str:
        """Read until all words appear, and return the screen. Raises AssertionError if they never do."""
        give_up = time.monotonic() + timeout
        while any(self.text.count(word) < times for word in words):
            assert self._read(give_up), f"{words} never came; the screen:\n{self.text}"
        return self.text

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self, timeout: float = 15.0) -> int:
        """Read to the end and return the exit code."""
        give_up = time.monotonic() + timeout
        while self._read(give_up):
            pass
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def close(self) -> None:
        """End the program if it is still running."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)

    def _read(self, give_up: float) -> bool:
        if not select.select([self.descriptor], [], [], max(0.0, give_up - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.descriptor, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # the other end is closed
                raise
            return False
        self._buffer += data
        self.text = self._buffer.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


@pytest.fixture
def screen(variables: Mapping[str, str], tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    """Starts the program on a terminal of 60 columns: `screen("words", server=server)`."""
    screens: list[Screen] = []

    def start(*arguments: str, server: ScriptedServer, script: str = 'exec "$@"') -> Screen:
        options = ["--base-url", server.base_url, "--model", "m"]
        command = ["bash", "-c", script, "bash", sys.executable, "-m", "vmpilot", *arguments, *options]
        pid, descriptor = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execve(shutil.which("bash") or "bash", command, {**variables, "COLUMNS": "60"})
        screens.append(Screen(pid, descriptor))
        return screens[-1]

    yield start
    for one in screens:
        one.close()


@pytest.fixture
def program(variables: Mapping[str, str], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program with pipes instead of a terminal."""

    def start(
        *arguments: str,
        server: ScriptedServer | None = None,
        more_variables: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[str]:
        ends = [] if server is None else ["--base-url", server.base_url, "--model", "m"]
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path}
        process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "vmpilot", *arguments, *ends],
            env={**variables, **(more_variables or {})},
            text=True,
            start_new_session=True,
            **{**given, **options},
        )
        return process

    return start
