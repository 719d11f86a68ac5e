"""Jobs that outlive the VMPilot that started them: output, state and end, as a later process sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.machine.conftest import Survivors

from vmpilot.contract import ToolError, ToolOutcome, ToolUse
from vmpilot.machine.processes.job_files import (
    SEGMENT,
    OutputWriter,
    output_length,
    read_output,
    read_state,
    segments,
    this_boot,
    write_state,
)
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.workspace import Workspace
from vmpilot.tools import CommandRunner, JobsTool, ShellTool
from vmpilot.tools.kept_jobs import KeptJob, KeptJobs

USE = ToolUse(lambda _: None)
TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture
def kept(tmp_path: Path) -> KeptJobs:
    return KeptJobs(tmp_path / "data" / "jobs")


@pytest.fixture
async def open_runner(kept: KeptJobs, mark: str, tmp_path: Path) -> AsyncIterator[Callable[[], CommandRunner]]:
    """Makes the runners of successive conversations; ends all jobs at the end."""
    opened: list[CommandRunner] = []

    def make() -> CommandRunner:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TEST_MARK": mark}
        opened.append(CommandRunner(environment, masker=Masker(["opensesame"]), kept=kept, conversation="c1"))
        return opened[-1]

    yield make
    for runner in opened:
        await runner.close()
    for job in kept.all():
        job.stop()


async def start(runner: CommandRunner, folder: Path, command: str, **members: Any) -> ToolOutcome:
    arguments = {"command": command, "background": True, "keep": True, **members}
    return await ShellTool(Workspace.at(folder), runner).run(arguments, USE)


async def until(done: Callable[[], object]) -> None:
    give_up = time.monotonic() + 15
    while not done():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


async def test_the_next_conversation_lists_reads_and_ends_it(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path, survivors: Survivors
) -> None:
    os.mkfifo(tmp_path / "go")
    first = open_runner()
    await start(first, tmp_path, "echo one; cat go; echo two; sleep 1000")
    tool = JobsTool(first)
    await until(lambda: "one" in kept.find(1001).read(1))
    assert (await tool.run({"action": "output", "job_id": 1001}, USE)).text.startswith("one\n[job 1001: running")
    await first.close()
    (tmp_path / "go").write_text("go\n")
    await until(lambda: "two" in kept.find(1001).read(1))

    tool = JobsTool(open_runner())
    listed = (await tool.run({"action": "list"}, USE)).text
    assert listed.startswith("job 1001, kept: running for ")
    assert listed.endswith(": $ echo one; cat go; echo two; sleep 1000")
    assert (await tool.run({"action": "output", "job_id": 1001}, USE)).text.startswith(
        "one\ngo\ntwo\n[job 1001: running"
    )
    assert (await tool.run({"action": "output", "job_id": 1001}, USE)).text.startswith("[job 1001: running")
    with pytest.raises(ToolError, match="input of job 1001 was closed"):
        await tool.run({"action": "input", "job_id": 1001, "text": "x"}, USE)
    assert "[job 1001: stopped, after " in (await tool.run({"action": "kill", "job_id": 1001}, USE)).text
    assert survivors() == []
    with pytest.raises(ToolError, match="already ended"):
        await tool.run({"action": "kill", "job_id": 1001}, USE)


async def test_its_own_conversation_can_end_it_and_numbers_do_not_clash(
    open_runner: Callable[[], CommandRunner], tmp_path: Path, survivors: Survivors
) -> None:
    runner = open_runner()
    await start(runner, tmp_path, "sleep 1000")
    outcome = await start(runner, tmp_path, "sleep 1000", keep=False)
    assert outcome.text.startswith("Job 1 started")
    tool = JobsTool(runner)
    for number in (1001, 1):
        assert "ended by the tool jobs" in (await tool.run({"action": "kill", "job_id": number}, USE)).text
    assert survivors() == []


async def test_how_it_ended_is_known_later(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    runner = open_runner()
    await start(runner, tmp_path, "cat go; printf 'no line feed'; exit 3")
    await runner.close()
    assert not kept.find(1001).over
    (tmp_path / "go").write_text("")
    await until(lambda: kept.find(1001).over)
    job = kept.find(1001)
    assert (job.exit_code, job.conversation, job.read()) == (3, "c1", "no line feed")
    assert job.state.startswith("exit code 3, after ")


async def test_its_time_limit_holds_without_vmpilot(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path, survivors: Survivors
) -> None:
    runner = open_runner()
    await start(runner, tmp_path, "sleep 1000 & sleep 1000", timeout=1)
    await runner.close()
    await until(lambda: kept.find(1001).over)
    assert kept.find(1001).state.startswith("ended after 1 s, its time limit, after ")
    assert survivors() == []


async def test_secrets_are_masked_in_the_files_also_across_chunks_and_restarts(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    runner = open_runner()
    command = f"echo opensesame; printf open; cat go; echo sesame; echo {TOKEN}"
    await start(runner, tmp_path, command)
    await runner.close()
    (tmp_path / "go").write_text("")
    await until(lambda: kept.find(1001).over)
    assert kept.find(1001).read() == "[masked]\n[masked]\n[masked]\n"
    for path in kept.find(1001).folder.iterdir():
        assert "opensesame" not in path.read_text()
        assert TOKEN not in path.read_text()


async def test_only_the_owner_can_read_it(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path
) -> None:
    await start(open_runner(), tmp_path, "echo one; sleep 1000")
    await until(lambda: kept.find(1001).read(1))
    folder = kept.find(1001).folder
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


async def test_a_job_that_cannot_start_leaves_nothing(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path
) -> None:
    runner = open_runner()
    job = runner.start_job("ls", folder=tmp_path / "gone", keep=True)
    await until(lambda: job.problem is not None)
    runner.forget_job(job)
    assert kept.all() == []
    with pytest.raises(ValueError, match="NUL"):
        runner.start_job("ls \0", folder=tmp_path, keep=True)
    assert kept.all() == []


async def test_a_killed_vmpilot_loses_neither_the_job_nor_its_output(
    kept: KeptJobs, mark: str, tmp_path: Path, survivors: Survivors
) -> None:
    os.mkfifo(tmp_path / "go")
    code = f"""
import asyncio, os, signal
from pathlib import Path
from vmpilot.tools import CommandRunner
from vmpilot.tools.kept_jobs import KeptJobs
async def main():
    runner = CommandRunner(dict(os.environ), kept=KeptJobs(Path({str(kept._root)!r})))
    job = runner.start_job("echo before; cat go; echo after; sleep 1000", folder=Path({str(tmp_path)!r}), keep=True)
    while not job.read(1):
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    environment = {"PATH": os.environ["PATH"], "TEST_MARK": mark}
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not kept.find(1001).over
    (tmp_path / "go").write_text("")
    await until(lambda: "after" in kept.find(1001).read(1))
    assert kept.find(1001).stop()
    assert survivors() == []


async def test_concurrent_jobs_get_different_numbers(kept: KeptJobs) -> None:
    jobs = await asyncio.gather(*(asyncio.to_thread(kept.begin, f"job {n}", conversation="c") for n in range(20)))
    assert sorted(job.number for job in jobs) == list(range(1001, 1021))
    assert {job.command for job in kept.all()} == {f"job {n}" for n in range(20)}


@pytest.fixture
def stranger(mark: str) -> Any:
    """A process unrelated to any job."""
    process = subprocess.Popen(["sleep", "1000"], env={"TEST_MARK": mark}, start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("name", ["warden", "shell"])
@pytest.mark.parametrize(
    "stale", [{"boot": "another"}, {"warden_started": 1, "shell_started": 1}, {"warden_started": None}]
)
def test_a_reused_process_id_is_never_ended(
    kept: KeptJobs, stranger: subprocess.Popen[bytes], name: str, stale: dict[str, object]
) -> None:
    """After a restart, or long after the job's end, its process ids belong to others."""
    job = kept.begin("server", conversation="c")
    write_state(job.folder, {"boot": this_boot(), name: stranger.pid, f"{name}_started": 1, **stale})
    job = kept.find(job.number)
    assert job.over
    assert job.state.startswith("lost: ")
    assert job.stop()
    assert stranger.poll() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"warden": "x"}', '{"warden": 1, "boot": 7}'])
def test_a_job_with_a_broken_state_is_not_running(kept: KeptJobs, content: str) -> None:
    job = kept.begin("server", conversation="c")
    (job.folder / "state.json").write_text(content)
    (job.folder / "job.json").write_text(content)
    job = kept.find(job.number)
    assert job.over
    assert job.state.startswith("lost: ")
    assert job.stop()


async def test_a_job_whose_supervisor_was_ended_can_still_be_stopped(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path, survivors: Survivors
) -> None:
    runner = open_runner()
    await start(runner, tmp_path, "exec sleep 1000")
    await runner.close()
    await until(lambda: "shell" in read_state(kept.find(1001).folder))
    os.kill(read_state(kept.find(1001).folder)["warden"], signal.SIGKILL)
    await until(lambda: kept.find(1001).over)
    assert kept.find(1001).strayed
    assert "without supervision" in kept.find(1001).state
    assert kept.find(1001).stop()
    await until(lambda: survivors() == [])
    assert not kept.find(1001).strayed


async def test_a_stopped_supervisor_is_woken(
    open_runner: Callable[[], CommandRunner], kept: KeptJobs, tmp_path: Path, survivors: Survivors
) -> None:
    runner = open_runner()
    await start(runner, tmp_path, "trap '' TERM; kill -STOP $PPID; sleep 1000")
    await runner.close()
    assert await asyncio.to_thread(kept.find(1001).stop)
    assert survivors() == []


def test_output_is_bounded_and_keeps_its_end(kept: KeptJobs) -> None:
    folder = kept.begin("yes", conversation="c").folder
    writer = OutputWriter(folder, ())
    line = b"0123456789" * 100 + b"\n"
    for _ in range(3 * SEGMENT // len(line)):
        writer.feed(line)
    writer.feed("the end: grüße\n".encode())
    writer.close()
    assert len(segments(folder)) == 2
    assert sum(path.stat().st_size for _, path in segments(folder)) <= 2 * SEGMENT
    assert read_output(folder, 0, output_length(folder)).endswith("\nthe end: grüße\n")
    job = KeptJob(folder)
    text = job.read()
    assert len(text) < 25_000
    assert "bytes left out" in text
    assert text.endswith("the end: grüße\n")
    assert job.read() == ""


def test_a_full_disk_does_not_end_a_job(kept: KeptJobs) -> None:
    folder = kept.begin("x", conversation="c").folder
    writer = OutputWriter(folder / "gone", ())
    writer.feed(b"text\n")
    writer.close()
    assert output_length(folder) == 0


def test_old_jobs_are_removed(kept: KeptJobs) -> None:
    old = kept.begin("old", conversation="c")
    (old.folder / "job.json").write_text(json.dumps({"command": "old", "started": 1.0}))
    write_state(old.folder, {"ended": 2.0, "code": 0})
    os.utime(old.folder, (3.0, 3.0))
    for number in range(40):
        job = kept.begin(f"job {number}", conversation="c")
        write_state(job.folder, {"ended": time.time(), "code": 0})
    kept.tidy()
    assert [job.command for job in kept.all()] == [f"job {number}" for number in range(8, 40)]
