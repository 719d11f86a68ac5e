"""Sets up targets for escape probes and runs them in a sandbox, for `vmpilot doctor` and tests."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox import escapes
from vmpilot.machine.sandbox.confinement import PROJECT_FILE, Level, Sandbox
from vmpilot.machine.sandbox.escapes.run import PROBES
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.search import run_launch
from vmpilot.machine.sandbox.syscalls import CLONE, CLONE3, PROCESSORS, REFUSED

Outcome: TypeAlias = Literal["blocked", "open", "not tried"]

_START = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from escapes.run import main; main()"
_PATIENCE = 60.0
_IPC_CREAT, _IPC_RMID, _PAGE = 0o1000, 0, 4096  # linux/ipc.h
_SYSTEM_SETTINGS = ("kernel/core_pattern", "kernel/hostname", "vm/drop_caches", "kernel/modprobe")
_SYSFS_SETTINGS = ("kernel/uevent_helper", "power/state", "kernel/mm/transparent_hugepage/enabled", "module")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one probe. `holds` is the claim that is true if it was blocked; `detail` says what happened."""

    probe: str
    verdict: Outcome
    holds: str
    detail: str


async def probe_escapes(
    sandbox: Sandbox,
    level: Level,
    *,
    python: str = sys.executable,
    probes: Collection[str] | None = None,
    folder: Path | None = None,
) -> tuple[Finding, ...]:
    """Try to break out of the sandbox at this level.

    `probes` are names (default: all); `folder` takes the targets (default: a temporary one). Takes about a quarter of a
    second. Raises `SandboxError` or another OSError if the sandbox cannot be set up, RuntimeError if the probes cannot
    run in it.
    """
    with ExitStack() as resources:
        targets = resources.enter_context(_make_targets(folder))
        hidden = (*sandbox.hidden_paths.hidden(), targets.own)
        sandbox = replace(sandbox, hidden_paths=HiddenPaths(targets.home, hidden))
        victim = await targets.start_victim()
        try:
            targets.write_plan(level, probes, sandbox, victim.pid)
            code, output = await _run(sandbox, level, targets, python, resources)
        finally:
            victim.kill()
            await victim.wait()
    return _findings(code, output)


async def _run(
    sandbox: Sandbox, level: Level, targets: _Targets, python: str, resources: ExitStack
) -> tuple[int | None, bytes]:
    here = str(Path(next(iter(escapes.__path__))).parent)
    arguments = (python, "-I", "-S", "-B", "-c", _START, here, str(targets.plan))
    launch = ShellLaunch(
        program=python,
        arguments=tuple(map(os.fsencode, arguments)),
        variables={},
        descriptors=(),
        note_offset=0,
        remark=None,
    )
    launch = sandbox.confine(
        launch, confinement=level, folder=targets.workspace, root=targets.workspace, resources=resources
    )
    environment = {"PATH": os.defpath, "HOME": str(targets.home)}
    return await run_launch(launch, environment, folder=targets.workspace, patience=_PATIENCE)


def _findings(code: int | None, output: bytes) -> tuple[Finding, ...]:
    try:
        answers: dict[str, tuple[Outcome, str]] = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError) as error:
        shown = output.decode(errors="replace").strip()
        raise RuntimeError(f"the probes could not run in the sandbox (exit code {code}): {shown}") from error
    found = [(probe, answers[probe.name]) for probe in PROBES if probe.name in answers]
    return tuple(Finding(probe.name, outcome, probe.holds, detail) for probe, (outcome, detail) in found)


@dataclass(frozen=True, slots=True)
class _Targets:
    """The folders, sockets and process that the probes target."""

    top: Path
    token: str
    secret: str
    port: int
    abstract: str
    shared_memory: int

    @property
    def workspace(self) -> Path:
        return self.top / "workspace"

    @property
    def outside(self) -> Path:
        return self.top / "outside"

    @property
    def home(self) -> Path:
        return self.top / "home"

    @property
    def own(self) -> Path:
        return self.top / "own"

    @property
    def plan(self) -> Path:
        return self.outside / "plan.json"

    async def start_victim(self) -> asyncio.subprocess.Process:
        """Start a process with the token in its arguments and the secret in its environment; it ends with its input."""
        return await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", "read -r _", self.token),
            env={"SECRET": self.secret},
            stdin=asyncio.subprocess.PIPE,
        )

    def write_plan(self, level: Level, probes: Collection[str] | None, sandbox: Sandbox, victim: int) -> None:
        """Write what the probes need to know."""
        machine = os.uname().machine
        column = PROCESSORS[machine].column
        numbers = {name: row[column] for name, row in {**REFUSED, "clone": CLONE, "clone3": CLONE3}.items()}
        plan: dict[str, Any] = {
            "probes": [probe.name for probe in PROBES if probes is None or probe.name in probes],
            "level": level,
            "machine": machine,
            "numbers": numbers,
            "workspace": str(self.workspace),
            "outside": str(self.outside),
            "home": str(self.home),
            "scratch": str(self.workspace if level == "workspace" else self.outside),
            "hidden": [str(path) for path in sandbox.hidden_paths.hidden()],
            "sysctl": [f"/proc/sys/{name}" for name in _SYSTEM_SETTINGS],
            "sysfs": [f"/sys/{name}" for name in _SYSFS_SETTINGS],
            "token": self.token,
            "secret": self.secret,
            "victim": victim,
            "port": self.port,
            "abstract": self.abstract,
            "socket": str(self.outside / "socket"),
            "datagram": str(self.outside / "datagram"),
            "shared_memory": self.shared_memory,
        }
        self.plan.write_text(json.dumps(plan))


@contextmanager
def _make_targets(folder: Path | None) -> Iterator[_Targets]:
    token = secrets.token_hex(12)
    top = Path(tempfile.mkdtemp(prefix="vmpilot-probes-", dir=folder)).resolve()
    with ExitStack() as resources:
        resources.callback(shutil.rmtree, top, ignore_errors=True)
        listener = resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        targets = _Targets(
            top,
            token,
            secret=secrets.token_hex(12),
            port=listener.getsockname()[1],
            abstract=f"vmpilot-{token}",
            shared_memory=resources.enter_context(_shared_memory()),
        )
        _create_files(targets)
        for kind, address in (
            (socket.SOCK_STREAM, "\0" + targets.abstract),
            (socket.SOCK_STREAM, str(targets.outside / "socket")),
            (socket.SOCK_DGRAM, str(targets.outside / "datagram")),
        ):
            service = resources.enter_context(socket.socket(socket.AF_UNIX, kind))
            service.bind(address)
            if kind == socket.SOCK_STREAM:
                service.listen()
        yield targets


@contextmanager
def _shared_memory() -> Iterator[int]:
    """The key of a segment that any program of this user may attach (shmget(2))."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    key = secrets.randbelow(2**31 - 1) + 1
    segment = libc.shmget(key, _PAGE, _IPC_CREAT | 0o600)
    try:
        yield key
    finally:
        libc.shmctl(segment, _IPC_RMID, None)


def _create_files(targets: _Targets) -> None:
    for path in (
        *(targets.outside / "file", targets.home / ".ssh" / "id", targets.home / ".netrc", targets.own / "log"),
        *(targets.workspace / "file", targets.workspace / PROJECT_FILE, targets.workspace / ".git" / "hooks" / "probe"),
        targets.workspace / "a" / "b" / ".git" / "config",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{targets.secret}\n")
    (targets.workspace / "link").symlink_to(targets.outside / "file")
