"""For tests of commands: an environment with a unique mark, and a search for processes that have it."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

import pytest

from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import CommandOutcome, run_command
from vmpilot.machine.processes.supervisor import Supervisor

LATEST = 2.0
"""Seconds by which a command may outlive VMPilot."""

Survivors: TypeAlias = Callable[[], list[str]]


class Run(Protocol):
    async def __call__(
        self,
        command: str,
        *,
        timeout: float = 20,
        limits: OutputLimits = ...,
        on_output: Callable[[str], None] = ...,
        folder: Path | None = None,
        variables: Mapping[str, str] = ...,
    ) -> CommandOutcome: ...


@pytest.fixture
def mark() -> str:
    return secrets.token_hex(8)


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


@pytest.fixture
def run(mark: str, tmp_path: Path, supervisor: Supervisor) -> Run:
    async def run(
        command: str,
        *,
        timeout: float = 20,
        limits: OutputLimits = OutputLimits(),  # noqa: B008 - frozen
        on_output: Callable[[str], None] = lambda _: None,
        folder: Path | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> CommandOutcome:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "TEST_MARK": mark}
        return await run_command(
            command,
            folder=folder or tmp_path,
            environment=environment | dict(variables),
            timeout=timeout,
            limits=limits,
            on_output=on_output,
            supervisor=supervisor,
        )

    return run


@pytest.fixture
def survivors(mark: str, tmp_path: Path) -> Survivors:
    """The live processes that a test's commands left, found by the mark or by their folder."""

    def find() -> list[str]:
        return [command for pid in _live_processes() if (command := _describe_if_ours(pid, mark, tmp_path))]

    return find


def wait_until_gone(survivors: Survivors) -> float:
    """Returns the seconds until no process is left."""
    start = time.monotonic()
    while survivors() and time.monotonic() - start < 2 * LATEST:
        time.sleep(0.01)
    assert survivors() == []
    return time.monotonic() - start


def wait_until_ended(pid: int) -> None:
    """Wait for a process that is not a child of this one."""
    give_up = time.monotonic() + 5 * LATEST
    with suppress(OSError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < give_up
            time.sleep(0.01)


def _live_processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def _describe_if_ours(process: Path, mark: str, folder: Path) -> str | None:
    try:
        ours = mark.encode() in (process / "environ").read_bytes() or (process / "cwd").readlink() == folder
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode() if ours else None
    except OSError:
        return None
