"""When VMPilot is killed, none of its commands' processes is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.core.machine.conftest import LATEST, Survivors, wait_until_ended, wait_until_gone

VMPILOT = """
import asyncio, os, sys
from pathlib import Path
from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import run_command
from vmpilot.machine.processes.supervisor import Supervisor

async def main(commands):
    supervisor = Supervisor()
    supervisor.warm_up()
    print("begun", flush=True)
    await asyncio.gather(*(
        run_command(
            command, folder=Path.cwd(), environment=dict(os.environ), timeout=100, limits=OutputLimits(),
            supervisor=supervisor,
            on_output=lambda text: print(text, end="", flush=True),
        )
        for command in commands
    ))

asyncio.run(main(sys.argv[1:]))
"""

_UNMARKED = 'env -i python3 -c "import os, time; os.closerange(0, 2000); print(1); time.sleep(1000)"'

COMMANDS = [
    "echo x; sleep 1000",
    "sleep 1000 & sleep 1000 & echo x; sleep 1000",
    "setsid sleep 1000 >/dev/null 2>&1 & echo x; sleep 1000",
    "set -m; sleep 1000 >/dev/null 2>&1 & echo x; wait",
    "env -i setsid sleep 1000 >/dev/null 2>&1 & echo x; sleep 1000",
    "(setsid sh -c 'sleep 1000 & exec true' >/dev/null 2>&1 &); echo x; sleep 1000",
    "trap '' TERM; setsid sleep 1000 & echo x; sleep 1000; sleep 1000",
    "echo x; exec 2>&- >&-; sleep 1000",
    "echo x; kill -STOP $$",
    "setsid sh -c 'kill -STOP $$' & echo x; sleep 1000",
    f"setsid {_UNMARKED} >/dev/null 2>&1 & echo x; sleep 1000",
    "echo x; while :; do :; done",
]


def start_vmpilot(folder: Path, mark: str, *commands: str, program: str = VMPILOT) -> subprocess.Popen[str]:
    """A VMPilot in its own process group that runs these commands in parallel."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *commands],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TEST_MARK": mark},
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_kill_ends_the_commands_too(tmp_path: Path, mark: str, survivors: Survivors, whole_group: bool) -> None:
    with start_vmpilot(tmp_path, mark, *COMMANDS) as vmpilot:
        assert vmpilot.stdout is not None
        heard = [vmpilot.stdout.readline() for _ in range(1 + len(COMMANDS))]
        assert sorted(heard) == ["begun\n", *["x\n"] * len(COMMANDS)]
        assert len(survivors()) > len(COMMANDS)
        if whole_group:
            os.killpg(vmpilot.pid, signal.SIGKILL)
        else:
            vmpilot.kill()
        vmpilot.wait()
        assert wait_until_gone(survivors) < LATEST


def test_a_kill_while_commands_start_ends_them(tmp_path: Path, mark: str, survivors: Survivors) -> None:
    for delay in range(8):
        with start_vmpilot(tmp_path, mark, *["sleep 1000"] * 4) as vmpilot:
            assert vmpilot.stdout is not None
            assert vmpilot.stdout.readline() == "begun\n"
            (dispatcher,) = Path(f"/proc/{vmpilot.pid}/task/{vmpilot.pid}/children").read_text().split()
            time.sleep(delay / 1000)
            vmpilot.kill()
        wait_until_ended(int(dispatcher))  # a command may still begin just after the kill, to be ended at once
        assert survivors() == []


def test_a_handler_runs(tmp_path: Path, mark: str, survivors: Survivors) -> None:
    command = "trap 'echo cleaned up > end; exit' TERM; echo x; while :; do sleep 0.01; done"
    with start_vmpilot(tmp_path, mark, command) as vmpilot:
        assert vmpilot.stdout is not None
        assert [vmpilot.stdout.readline() for _ in range(2)] == ["begun\n", "x\n"]
        vmpilot.kill()
    wait_until_gone(survivors)
    assert (tmp_path / "end").read_text() == "cleaned up\n"


def test_only_the_commands_own_processes_end(tmp_path: Path, mark: str, survivors: Survivors) -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as bystander:
        with start_vmpilot(tmp_path, mark, "echo x; sleep 1000") as vmpilot:
            assert vmpilot.stdout is not None
            assert [vmpilot.stdout.readline() for _ in range(2)] == ["begun\n", "x\n"]
            vmpilot.kill()
        wait_until_gone(survivors)
        assert bystander.poll() is None
        bystander.kill()


JOBS = """
import asyncio, os, sys
from pathlib import Path
from vmpilot.tools import CommandRunner

async def main(commands):
    runner = CommandRunner(dict(os.environ))
    jobs = [runner.start_job(command, folder=Path.cwd()) for command in commands]
    for job in jobs:
        while not job.unread:
            await asyncio.sleep(0.01)
    print("begun", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(sys.argv[1:]))
"""


def test_a_kill_ends_the_jobs_too(tmp_path: Path, mark: str, survivors: Survivors) -> None:
    with start_vmpilot(tmp_path, mark, *COMMANDS, program=JOBS) as vmpilot:
        assert vmpilot.stdout is not None
        assert vmpilot.stdout.readline() == "begun\n"
        assert len(survivors()) > len(COMMANDS)
        vmpilot.kill()
        vmpilot.wait()
        assert wait_until_gone(survivors) < LATEST
