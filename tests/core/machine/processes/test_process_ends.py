"""How commands end, and that none of their processes is left."""

import asyncio
import os
import time

import pytest
from tests.core.machine.conftest import Run, Survivors

_UNMARKED = 'env -i python3 -c "import os, time; os.closerange(0, 2000); time.sleep(1000)"'

_LEAVING_BEHIND = {
    "sleep 1000 &": 1,
    "sleep 1000 & sleep 1000 & exit 3": 2,
    "nohup sleep 1000 >/dev/null 2>&1 & disown": 1,
    "set -m; sleep 1000 >/dev/null 2>&1 &": 1,
    "setsid sleep 1000 &": 1,
    "setsid sleep 1000 >/dev/null 2>&1 &": 1,
    "(setsid sh -c 'sleep 1000 & exec true' >/dev/null 2>&1 &)": 1,
    "env -i setsid sleep 1000 >/dev/null 2>&1 &": 1,
    "trap '' TERM; setsid sleep 1000 >/dev/null 2>&1 &": 1,
    "setsid sh -c 'kill -STOP $$' >/dev/null 2>&1 &": 1,
    f"{_UNMARKED} &": 1,
}


async def test_background_processes_are_ended_and_counted(run: Run, survivors: Survivors) -> None:
    outcomes = await asyncio.gather(*(run(f"echo begun; {command}") for command in _LEAVING_BEHIND))
    left = [outcome.left_running for outcome in outcomes]
    assert dict(zip(_LEAVING_BEHIND, left, strict=True)) == _LEAVING_BEHIND
    assert {outcome.output.text for outcome in outcomes} == {"begun\n"}
    assert not any(outcome.timed_out or outcome.unended for outcome in outcomes)
    assert max(outcome.seconds for outcome in outcomes) < 3
    assert survivors() == []


async def test_a_daemon_that_closes_everything_is_ended(run: Run, survivors: Survivors) -> None:
    daemon = (
        "import os, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.closerange(0, 2000)\n"
        "time.sleep(1000)\n"
    )
    outcome = await run(f"python3 -c '{daemon}'; echo done")
    assert (outcome.exit_code, outcome.left_running) == (0, 1)
    assert survivors() == []


async def test_processes_that_end_soon_after_the_shell_are_not_counted(run: Run) -> None:
    outcome = await run("echo late > >(sleep 0.02; cat)")
    assert outcome.output.text == "late\n"
    assert outcome.left_running == 0


_ENDLESS = [
    "sleep 1000",
    "sleep 1000 | sleep 1000 | cat",
    "setsid sleep 1000; true",
    "setsid setsid sleep 1000 & env -i setsid sleep 1000 & sleep 1000",
    f"setsid {_UNMARKED}; true",
    "kill -STOP $$",
    "sh -c 'kill -STOP $$'; true",
    "while :; do :; done",
]


async def test_timeout_ends_everything(run: Run, survivors: Survivors) -> None:
    outcomes = await asyncio.gather(*(run(f"echo begun; {command}", timeout=0.5) for command in _ENDLESS))
    assert all(outcome.timed_out for outcome in outcomes)
    assert {(outcome.exit_code, outcome.output.text) for outcome in outcomes} == {(None, "begun\n")}
    assert max(outcome.seconds for outcome in outcomes) < 1.5
    assert survivors() == []


async def test_a_stopped_process_runs_its_handler_too(run: Run) -> None:
    outcome = await run("trap 'echo cleaned up; exit' TERM; kill -STOP $$; sleep 10", timeout=0.4)
    assert outcome.timed_out
    assert outcome.output.text == "cleaned up\n"


async def test_processes_that_ignore_term_are_killed_within_a_second(run: Run, survivors: Survivors) -> None:
    stubborn = ["sleep 1000", "setsid sleep 1000 & sleep 1000", "kill -STOP $$; sleep 1000", "while :; do echo y; done"]
    outcomes = await asyncio.gather(*(run(f"trap '' TERM; {command}", timeout=0.15) for command in stubborn))
    assert [outcome.timed_out for outcome in outcomes] == [True] * 4
    assert max(outcome.seconds for outcome in outcomes) < 1.3
    assert survivors() == []


async def test_a_fork_bomb_is_ended(run: Run, survivors: Survivors) -> None:
    bomb = "ulimit -u 200 2>/dev/null; f() { for i in 1 2 3; do sleep 1000 & done; sleep 1000; }; f & f & f & f"
    outcome = await run(bomb, timeout=0.15)
    assert outcome.timed_out
    assert survivors() == []


async def test_a_handler_runs_and_its_output_is_read(run: Run) -> None:
    outcome = await run("trap 'echo cleaned up; exit 0' TERM; echo begun; while :; do :; done", timeout=0.4)
    assert outcome.timed_out
    assert outcome.exit_code is None
    assert outcome.output.text == "begun\ncleaned up\n"


async def test_an_error_in_on_output_ends_the_command(run: Run, survivors: Survivors) -> None:
    def fail(text: str) -> None:
        raise LookupError(text)

    with pytest.raises(LookupError):
        await run("echo x; sleep 1000", on_output=fail)
    assert survivors() == []


async def _cancel_when_begun(run: Run, command: str, *, again: bool = False) -> float:
    """Cancel a command after its first output; returns the seconds until it has ended."""
    begun = asyncio.Event()
    task = asyncio.create_task(run(command, on_output=lambda _: begun.set()))
    await begun.wait()
    start = time.monotonic()
    task.cancel()
    if again:
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - start


@pytest.mark.parametrize(
    "command",
    ["sleep 1000", "setsid sleep 1000 & sleep 1000", "trap '' TERM; setsid sleep 1000 & sleep 1000", "kill -STOP $$"],
)
async def test_canceling_ends_everything(run: Run, survivors: Survivors, command: str) -> None:
    assert await _cancel_when_begun(run, f"echo begun; {command}") < 1
    assert survivors() == []


async def test_canceling_twice_ends_everything_at_once(run: Run, survivors: Survivors) -> None:
    command = "trap '' TERM; echo begun; setsid sleep 1000 & sleep 1000"
    assert await _cancel_when_begun(run, command, again=True) < 0.5
    assert survivors() == []


async def test_canceling_after_a_timeout_leaks_nothing(run: Run, survivors: Survivors) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run("trap '' TERM; setsid sleep 1000 & sleep 1000", timeout=0.1), 0.2)
    assert survivors() == []


def test_a_loop_that_stops_leaks_nothing(run: Run, survivors: Survivors) -> None:
    async def leave() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(run("trap '' TERM; echo x; sleep 1000", on_output=lambda _: begun.set()))
        await begun.wait()
        assert not task.done()

    asyncio.run(leave())
    assert survivors() == []


async def test_works_without_pidfds(run: Run, survivors: Survivors, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(38, "Function not implemented", str(pid))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert (await run("sleep 0.05; exit 3")).exit_code == 3
    assert (await run("setsid sleep 1000 & sleep 1000", timeout=0.1)).timed_out
    assert survivors() == []


async def test_parallel_commands_end_only_their_own(run: Run) -> None:
    slow = asyncio.create_task(run("sleep 0.6; echo still here"))
    ended = await run("sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 &")
    assert ended.left_running == 2
    assert (await slow).output.text == "still here\n"
