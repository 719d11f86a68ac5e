"""Commands that try to stay, to hang or to flood: each ends in time and leaves no process."""

from __future__ import annotations

import shlex

import pytest
from tests.core.machine.conftest import Run, Survivors, wait_until_gone

from vmpilot.machine.processes.output import OutputLimits

_DAEMON = """
import os, time
{before}
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.environ.clear()
os.closerange(0, 2000)
time.sleep(1000)
"""
_SUBREAPER = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)"
_FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
_BURST = "for i in $(seq 1000); do sleep 1000 & done"


def _python(code: str) -> str:
    return f"env -i python3 -c {shlex.quote(code)}"


LEAVING = {
    "daemon": _python(_DAEMON.format(before="")),
    "daemons of a subreaper": _python(_DAEMON.format(before=_SUBREAPER)) + " & sleep 0.1",
    "nohup": "nohup sleep 1000 >/dev/null 2>&1 &",
    "deaf": "(trap '' TERM HUP INT; setsid sleep 1000 >/dev/null 2>&1 &)",
    "orphan with the pipe": "(sleep 1000 &); exit 0",
    "stopped orphan": "(setsid sh -c 'kill -STOP $$' &)",
    "parent gone between": "(exec setsid sh -c '(sleep 1000 &) ; exit' >/dev/null 2>&1 &)",
}

STAYING = {
    "stopped": "kill -STOP $$",
    "exec": "exec sleep 1000",
    "deaf": "trap '' TERM; while :; do sleep 1000; done",
    "burst": f"{_BURST}; wait",
    "burst of sessions": "for i in $(seq 100); do setsid sleep 1000 & done; wait",
    "daemon and a shell that waits": f"{_python(_DAEMON.format(before=''))}; sleep 1000",
    "first thread ends": _python(_FIRST_THREAD_ENDS),
    "stops its supervisor": "kill -STOP $PPID; sleep 1000",
    "writes and forks": "while :; do echo x & done",
    "asks on a terminal of its own": "script -qc 'read -p password: x' /dev/null <> <(sleep 1000)",
}


@pytest.mark.parametrize("command", LEAVING.values(), ids=LEAVING)
async def test_processes_that_try_to_stay_are_ended(run: Run, survivors: Survivors, command: str) -> None:
    outcome = await run(f"echo begun; {command}")
    assert outcome.exit_code == 0
    assert outcome.left_running >= 1
    assert outcome.seconds < 2
    assert survivors() == []


@pytest.mark.parametrize("command", STAYING.values(), ids=STAYING)
async def test_the_time_limit_holds(run: Run, survivors: Survivors, command: str) -> None:
    outcome = await run(f"echo begun; {command}", timeout=0.7)
    assert outcome.timed_out
    assert outcome.exit_code is None
    assert outcome.output.text.startswith("begun\n")
    assert survivors() == []


async def test_a_burst_of_processes_is_ended(run: Run, survivors: Survivors) -> None:
    outcome = await run(f"ulimit -u unlimited 2>/dev/null; {_BURST}", timeout=30)
    assert outcome.left_running == 1000
    assert survivors() == []


async def test_a_command_that_ends_its_supervisor_ends_too(run: Run, survivors: Survivors) -> None:
    outcome = await run("setsid sleep 1000 & echo begun; kill -9 $PPID; sleep 1000", timeout=20)
    assert outcome.exit_code is None
    assert outcome.output.text == "begun\n"
    assert "killed its supervisor process" in (outcome.remark or "")
    wait_until_gone(survivors)
    assert (await run("echo next")).output.text == "next\n"


async def test_every_kind_of_flood_ends(run: Run, survivors: Survivors) -> None:
    for command in ("yes", "cat /dev/zero", "cat /dev/urandom", "trap '' TERM PIPE; yes", "yes & yes & yes & wait"):
        outcome = await run(command, limits=OutputLimits(flood=3_000_000))
        assert outcome.flooded
        assert outcome.seconds < 5
    assert survivors() == []
