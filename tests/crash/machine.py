"""A user's machine for a few runs of the command line, which may be interrupted; and the evidence afterwards."""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from vmpilot.contract import Event, decode_event
from vmpilot.testing import ScriptedServer

from .invariants import Evidence
from .script import GO_ON, SHORT

PATIENCE = 30.0
"""Seconds after which a run counts as hanging."""
AFTERLIFE = 2.0
"""Seconds by which a command may outlive VMPilot."""
SUPERVISORS_AFTERLIFE = 10.0
"""Seconds until the supervisors, which end the commands, must have ended too, even on a busy machine."""


@dataclass(frozen=True)
class Run:
    """How a run ended; `code` is negative for a signal, None if it hung and was killed."""

    code: int | None
    errors: str
    shown: tuple[Event, ...]


class WarmProgram:
    """Starts runs of the command line in a process that has already imported everything (`warm_program`)."""

    def __init__(self, python_path: str) -> None:
        self.python_path = python_path
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": python_path}
        program = [sys.executable, str(Path(__file__).with_name("warm_program.py"))]
        self._process = subprocess.Popen(
            program, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self, run: Mapping[str, Any]) -> int:
        """Fork for the run, which waits for its start signal. Return its process id."""
        return self._ask({"run": run})

    def wait(self, child: int) -> int:
        return self._ask({"wait": child})

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def _ask(self, question: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        return int(self._process.stdout.readline())


@dataclass
class Machine:
    """One user's folders; every run is a turn of one conversation, or of a new one if the log is empty."""

    home: Path
    warm: WarmProgram
    server: ScriptedServer
    kind: str = SHORT
    database_url: str | None = None
    asked: list[str] = field(default_factory=list)
    shown: list[Event] = field(default_factory=list)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        (self.home / "work").mkdir(parents=True)

    @property
    def data(self) -> Path:
        return self.home / "data"

    def variables(self) -> dict[str, str]:
        """The environment of the runs."""
        folders = {f"VMPILOT_{name}_DIR": str(self.home / name.lower()) for name in ("CONFIG", "DATA", "CACHE")}
        # httpx reads a megabyte of certificates for each new client; this avoids it, as no certificate is needed.
        own = {
            "HOME": str(self.home),
            "SSL_CERT_DIR": str(self.home),
            "PATH": os.environ["PATH"],
            "EFFECTS": str(self.home / "effects"),
        }
        database = {} if self.database_url is None else {"VMPILOT_DATABASE_URL": self.database_url}
        settings = {"VMPILOT_ATTEMPTS": "1", "VMPILOT_API_KEY": "sk-crash", "CRASH_MARK": self.mark}
        return {**own, **folders, **database, **settings}

    def _arguments(self, text: str) -> list[str]:
        """The command line, which continues the conversation in the log."""
        self.asked.append(text)
        endpoint = ["--base-url", self.server.base_url, "--model", f"{self.kind}.{self.mark}"]
        before = ["-c"] if any(self.log().values()) else []
        return ["--backend", "bare", "--mode", "full", "--output", "jsonl", *endpoint, *before, text]

    def run(
        self, text: str, *strace: str, kill_after: float = PATIENCE, at_go: Callable[[], None] = lambda: None
    ) -> Run:
        """One run in the warm program, under strace with these options, or killed after some seconds.

        `at_go` is called when it starts.
        """
        go = self.home / "go"
        if not go.exists():
            os.mkfifo(go)
        child = self.warm.start(
            {
                "arguments": self._arguments(text),
                "environment": self.variables(),
                "folder": str(self.home / "work"),
                "output": str(self.home / "output"),
                "errors": str(self.home / "errors"),
                "go": str(go),
            }
        )
        tracer = _trace(child, strace) if strace else None
        go.write_bytes(b"!")
        at_go()
        killed = _end_later(child, kill_after)
        code = self.warm.wait(child)
        if tracer is not None:
            tracer.terminate()
            tracer.wait(PATIENCE)
        return self._collect(None if killed and kill_after == PATIENCE else code)

    def run_cold(self, text: str, *, kill_after: float) -> Run:
        """One run as started by a user, including the start of Python; killed after some seconds."""
        command = [sys.executable, "-m", "vmpilot.cli", *self._arguments(text)]
        with (self.home / "output").open("wb") as output, (self.home / "errors").open("wb") as errors:
            environment = {**self.variables(), "PYTHONPATH": self.warm.python_path}
            program = subprocess.Popen(
                command,
                cwd=self.home / "work",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        _end_later(program.pid, kill_after)
        return self._collect(program.wait())

    def _collect(self, code: int | None) -> Run:
        """The state that a run with exit code `code` left behind."""
        lines = (self.home / "output").read_text().splitlines(keepends=True)
        shown = tuple(decode_event(line) for line in lines if line.endswith("\n"))
        self.shown += shown
        return Run(code, (self.home / "errors").read_text(), shown)

    def go_on(self) -> Run:
        """The run after the crash, once the database server has noticed that the previous client is gone."""
        if self.database_url is not None:
            _wait_for_sessions(self.database_url)
        return self.run(GO_ON)

    def log(self) -> dict[str, list[tuple[int, Event]]]:
        """The events in the log, read without VMPilot from a copy, so that reading changes nothing."""
        if self.database_url is not None:
            return _read_server(self.database_url)
        if not (self.data / "conversations.db").exists():
            return {}
        copy = self.home / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("conversations.db", "conversations.db-wal", "conversations.db-journal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(self.data / name, copy / name)
        return _read_entries(copy / "conversations.db")

    def evidence(self, *, resumed: bool, crashes: int = 1) -> Evidence:
        """All observations so far."""
        requests = [one for one in self.server.requests if str(one.body["model"]).endswith(self.mark)]
        numbers = {f"request {one.number}" for one in requests}
        faults = [fault for fault in self.server.faults if fault.partition(":")[0] in numbers]
        effects = self.home / "effects"
        return Evidence(
            log=self.log(),
            asked=tuple(self.asked),
            shown=tuple(self.shown),
            requests=[one.messages for one in requests],
            effects=effects.read_text().split() if effects.exists() else (),
            faults=faults,
            resumed=resumed,
            crashes=crashes,
        )

    def survivors(self) -> list[str]:
        """Live processes of the runs, identified by their environment or working folder."""
        return list(self._living())

    def wait_for_the_dead(self) -> tuple[str, ...]:
        """End the processes that outlive VMPilot for too long, and return them."""
        died = time.monotonic()
        while (left := self.survivors()) and time.monotonic() < died + SUPERVISORS_AFTERLIFE:
            if time.monotonic() >= died + AFTERLIFE and any(
                "vmpilot.machine.processes.supervisor_program" not in line for line in left
            ):
                break
            time.sleep(0.01)
        for line in left:
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        return tuple(f"11: outlives VMPilot: {line}" for line in left)

    def copy_from(self, other: Machine) -> None:
        """Start from the state of another machine."""
        shutil.copytree(other.data, self.data)
        shutil.copyfile(other.home / "effects", self.home / "effects")
        self.asked += other.asked

    def _living(self) -> Iterator[str]:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                ours = self.mark.encode() in (process / "environ").read_bytes()
                if ours or (process / "cwd").readlink().is_relative_to(self.home):
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
                    if words and not _is_killed(status):
                        yield f"{process.name} {words} ({status['State']}, child of {status['PPid']})"


def _is_killed(status: Mapping[str, str]) -> bool:
    """Whether it no longer runs its own code but only waits in the kernel, for example for a busy disk."""
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    return bool(pending & 1 << signal.SIGKILL - 1)


def _trace(child: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Attach strace, and return it once attached."""
    command = ["strace", "-f", "-qq", "-b", "execve", "-o", os.devnull, *options, "-p", str(child)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    status = Path(f"/proc/{child}/status")
    while "TracerPid:\t0\n" in status.read_text():
        assert tracer.poll() is None, f"strace ended with {tracer.returncode}"
        time.sleep(0.001)
    return tracer


def _end_later(child: int, seconds: float) -> bool:
    """Wait until the process ends; if that takes too long, kill it and report it."""
    descriptor = os.pidfd_open(child)
    try:
        if select.select([descriptor], [], [], seconds)[0]:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return True
    finally:
        os.close(descriptor)


def _read_entries(path: Path) -> dict[str, list[tuple[int, Event]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        query = "SELECT conversation_id, number, body FROM entries ORDER BY conversation_id, number"
        return _by_conversation(connection.execute(query) if "entries" in tables else ())


def _read_server(url: str) -> dict[str, list[tuple[int, Event]]]:
    with psycopg.connect(url) as session:
        if session.execute("SELECT to_regclass('vmpilot.entries')").fetchone() == (None,):
            return {}
        query = "SELECT conversation_id, number, body FROM vmpilot.entries ORDER BY conversation_id, number"
        return _by_conversation(session.execute(query))


def _by_conversation(rows: Iterable[tuple[str, int, str]]) -> dict[str, list[tuple[int, Event]]]:
    found: dict[str, list[tuple[int, Event]]] = {}
    for conversation, number, body in rows:
        found.setdefault(conversation, []).append((number, decode_event(body)))
    return found


def _wait_for_sessions(url: str) -> None:
    """Wait until ours is the only session in the database."""
    give_up = time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url, autocommit=True) as session:
        while session.execute(query).fetchone() != (0,):
            assert time.monotonic() < give_up, "the server keeps the sessions of dead clients"
            time.sleep(0.01)
