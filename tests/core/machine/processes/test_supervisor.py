"""The fork server and its supervisors: reused and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.core.machine.conftest import Run, Survivors

from vmpilot.contract import Confinement, ToolError
from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import run_command
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.processes.supervisor import Supervisor
from vmpilot.tools import CommandRunner


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """One for each test, because the tests kill it."""
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


def _process(supervisor: Supervisor) -> int:
    assert supervisor._process is not None
    return supervisor._process.pid


def _supervisors(supervisor: Supervisor) -> list[int]:
    own = Path(f"/proc/{_process(supervisor)}")
    return [int(word) for word in (own / "task" / own.name / "children").read_text().split()]


def _open_in_first(supervisor: Supervisor) -> set[str]:
    return {path.name for path in Path(f"/proc/{_supervisors(supervisor)[0]}/fd").iterdir()}


def _folder_of_first(supervisor: Supervisor) -> Path:
    return Path(f"/proc/{_supervisors(supervisor)[0]}/cwd").readlink()


def _wait_for(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 5
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.005)


async def test_a_supervisor_is_reused(run: Run, supervisor: Supervisor) -> None:
    parents = {(await run("echo $PPID")).output.text for _ in range(5)}
    assert parents == {f"{supervisor}\n" for supervisor in _supervisors(supervisor)}
    assert len(parents) == 1


async def test_parallel_commands_have_own_supervisors_and_few_are_kept(run: Run, supervisor: Supervisor) -> None:
    outcomes = await asyncio.gather(*(run("echo $PPID; sleep 0.3") for _ in range(8)))
    assert len({outcome.output.text for outcome in outcomes}) == 8
    _wait_for(lambda: len(_supervisors(supervisor)) == 4)


async def test_a_reused_supervisor_keeps_nothing_of_the_last_command(run: Run, supervisor: Supervisor) -> None:
    await run("true")
    before = _open_in_first(supervisor)
    for command in ("yes | head -1", "sleep 1000 &", f"cat <<'END'\n{'x' * 300_000}\nEND"):
        await run(command)
    assert _open_in_first(supervisor) == before
    assert _folder_of_first(supervisor) == Path("/")


async def test_only_the_given_environment_is_visible(run: Run) -> None:
    outcome = await run("cat /proc/$PPID/environ; env | cut -d= -f1 | sort | tr '\\n' ' '")
    assert outcome.output.text == "HOME LC_ALL PATH PWD SHLVL TEST_MARK _ "


async def test_a_killed_supervisor_is_replaced(run: Run, supervisor: Supervisor) -> None:
    await run("true")
    os.kill(_supervisors(supervisor)[0], signal.SIGKILL)
    _wait_for(lambda: not _supervisors(supervisor))
    assert (await run("echo here")).output.text == "here\n"


async def test_a_killed_fork_server_is_replaced(run: Run, supervisor: Supervisor) -> None:
    await run("true")
    first = _process(supervisor)
    os.kill(first, signal.SIGKILL)
    for _ in range(3):
        assert (await run("echo here")).output.text == "here\n"


async def test_closing_ends_running_commands(run: Run, supervisor: Supervisor, survivors: Survivors) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(
        run("trap '' TERM; setsid sleep 1000 & echo x; sleep 1000", on_output=lambda _: begun.set())
    )
    await begun.wait()
    await asyncio.to_thread(supervisor.close)
    assert survivors() == []
    assert (await task).exit_code is None


async def test_a_sandbox_wraps_the_launch(tmp_path: Path, supervisor: Supervisor) -> None:
    ended: list[str] = []

    def confine(launch: ShellLaunch, resources: ExitStack) -> ShellLaunch:
        resources.callback(ended.append, "ended")
        arguments = (b"env", b"WRAPPED=yes", os.fsencode(launch.program), *launch.arguments[1:])
        return replace(launch, program="/usr/bin/env", arguments=arguments)

    outcome = await run_command(
        "echo $WRAPPED; cd /usr",
        folder=tmp_path,
        environment={"PATH": os.environ["PATH"]},
        timeout=10,
        limits=OutputLimits(),
        on_output=lambda _: None,
        confine=confine,
        supervisor=supervisor,
    )
    assert outcome.output.text == "yes\n"
    assert outcome.working_folder == Path("/usr")
    assert ended == ["ended"]


@pytest.mark.parametrize("confinement", ["read", "workspace"])
async def test_nothing_runs_unconfined_by_mistake(tmp_path: Path, confinement: Confinement) -> None:
    runner = CommandRunner({"PATH": os.environ["PATH"]})
    with pytest.raises(ToolError, match="only run in a sandbox"):
        await runner.run("touch x", folder=tmp_path, timeout=5, confinement=confinement)
    with pytest.raises(ToolError, match="only run in a sandbox"):
        runner.start_job("touch x", folder=tmp_path, confinement=confinement)
    await runner.close()
    assert not (tmp_path / "x").exists()
