"""What installed backends say of themselves, each asked in a process of its own: no import of one disturbs anybody."""

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
"""Seconds for all imports together, side by side, on a busy machine."""


@dataclass(frozen=True, slots=True)
class DescribedBackend:
    """An installed backend with what it says of itself, or with the sentence on why it cannot be used."""

    installed: InstalledBackend
    info: BackendInfo | None
    problem: str = ""


def describe_backends(
    installed: Sequence[InstalledBackend], *, seconds: float = PATIENCE
) -> tuple[DescribedBackend, ...]:
    """Describe them all, in their order. Nothing of them is imported into this process."""
    deadline = time.monotonic() + seconds
    children = [(backend, _start(backend)) for backend in installed]
    try:
        return tuple(_described(backend, child, deadline, seconds) for backend, child in children)
    finally:
        for _backend, child in children:
            _end(child)


def print_description(name: str, distribution: str, version: str, target: str, group: str) -> None:
    """The child's part: load the backend and write what it says as JSON. Whatever it prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    installed = InstalledBackend(name, distribution, version, EntryPoint(name, target, group))
    try:
        told: object = msgspec.to_builtins(load_backend(installed).info)
    except BackendError as error:
        told = {"problem": str(error)}
    os.write(answer, json.dumps(told).encode())
    os._exit(0)  # threads that the import left behind are not waited for


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
    about = f'the backend "{installed.name}" of {installed.distribution} {installed.version}'
    mend = f"run `{upgrade_command(installed.distribution)}`, or `{uninstall_command(installed.distribution)}`"
    try:
        said, _ = child.communicate(timeout=max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        return DescribedBackend(installed, None, f"{about} cannot be imported within {seconds:g} s: {mend}")
    try:
        told = json.loads(said)
        if problem := told.get("problem"):
            return DescribedBackend(installed, None, str(problem))
        return DescribedBackend(installed, msgspec.convert(told, BackendInfo))
    except (ValueError, AttributeError):
        end = f"exit code {child.returncode}"
        return DescribedBackend(installed, None, f"{about} ends the process that imports it ({end}): {mend}")


def _end(child: subprocess.Popen[str]) -> None:
    """The child and whatever its import started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
