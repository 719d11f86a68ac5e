"""Describes installed backends. Each is imported in a separate process, so that a broken one cannot do harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import msgspec

from vmpilot.contract import BackendError, BackendInfo
from vmpilot.installation import uninstall_command, upgrade_command
from vmpilot.plugins._installed import InstalledBackend
from vmpilot.plugins._loading import load_backend

_PROGRAM = """
import sys, json
path, named = json.loads(sys.stdin.readline())
sys.path += path
from vmpilot.plugins._describing import print_description
sys.path[:] = path
print_description(*named)
"""

PATIENCE = 15.0
"""Seconds for all imports, which run in parallel, on a busy machine."""


@dataclass(frozen=True, slots=True)
class DescribedBackend:
    """An installed backend with its description, or a sentence that explains why it cannot be used."""

    installed: InstalledBackend
    info: BackendInfo | None
    problem: str = ""


def describe_backends(
    installed: Sequence[InstalledBackend], *, seconds: float = PATIENCE
) -> tuple[DescribedBackend, ...]:
    """Describe all of them in order, without importing any into this process."""
    deadline = time.monotonic() + seconds
    children = [(backend, _start(backend)) for backend in installed]
    try:
        return tuple(_described(backend, child, deadline, seconds) for backend, child in children)
    finally:
        for _backend, child in children:
            _end(child)


def print_description(name: str, distribution: str, version: str, target: str, group: str) -> None:
    """Runs in the child: load the backend and write its description as JSON. Its own output goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    installed = InstalledBackend(name, distribution, version, EntryPoint(name, target, group))
    try:
        description: object = msgspec.to_builtins(load_backend(installed).info)
    except BackendError as error:
        description = {"problem": str(error)}
    os.write(answer, json.dumps(description).encode())
    os._exit(0)  # do not wait for threads that the import started


def _start(installed: InstalledBackend) -> subprocess.Popen[str]:
    entry = installed.entry_point
    named = [installed.name, installed.distribution, installed.version, entry.value, entry.group]
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    if child.stdin is not None:
        child.stdin.write(json.dumps([sys.path, named]) + "\n")
        child.stdin.flush()
    return child


def _described(
    installed: InstalledBackend, child: subprocess.Popen[str], deadline: float, seconds: float
) -> DescribedBackend:
    name = f'Backend "{installed.name}" of {installed.distribution} {installed.version}'
    fix = f"Run `{upgrade_command(installed.distribution)}` or `{uninstall_command(installed.distribution)}`."
    try:
        said, _ = child.communicate(timeout=max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        return DescribedBackend(installed, None, f"{name} cannot be imported within {seconds:g} s. {fix}")
    try:
        description = json.loads(said)
        if problem := description.get("problem"):
            return DescribedBackend(installed, None, str(problem))
        return DescribedBackend(installed, msgspec.convert(description, BackendInfo))
    except (ValueError, AttributeError):
        end = f"exit code {child.returncode}"
        return DescribedBackend(installed, None, f"{name} ends the process that imports it ({end}). {fix}")


def _end(child: subprocess.Popen[str]) -> None:
    """End the child and everything that its import started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
