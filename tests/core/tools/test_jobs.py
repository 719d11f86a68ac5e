"""Background commands: real ones, read, written to, ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.machine.conftest import Survivors

from vmpilot.contract import Acts, LooksUp, RunsCommand, ToolError, ToolOutcome, ToolUse
from vmpilot.engine.arguments import ArgumentsCheck, ArgumentsProblem
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.workspace import Workspace
from vmpilot.tools import CommandRunner, JobsTool, ShellTool
from vmpilot.tools._jobs_tool import JOBS_SPEC
from vmpilot.tools.kept_jobs import KeptJobs

USE = ToolUse(lambda _: None)


@pytest.fixture
async def runner(mark: str, tmp_path: Path) -> AsyncIterator[CommandRunner]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TEST_MARK": mark}
    runner = CommandRunner(
        environment, masker=Masker(["opensesame"]), outputs=tmp_path / "outputs", kept=KeptJobs(tmp_path / "kept")
    )
    yield runner
    await runner.close()


@pytest.fixture
def shell(runner: CommandRunner, tmp_path: Path) -> ShellTool:
    return ShellTool(Workspace.at(tmp_path), runner)


@pytest.fixture
def start(shell: ShellTool) -> Callable[..., Any]:
    async def start(command: str, **members: Any) -> ToolOutcome:
        return await shell.run({"command": command, "background": True, **members}, USE)

    return start


@pytest.fixture
def jobs(runner: CommandRunner) -> Callable[..., Any]:
    """Calls the tool: `text = await jobs("output", 1)`."""
    tool = JobsTool(runner)

    async def call(action: str, job_id: int | None = None, **members: Any) -> str:
        arguments = {"action": action, **({} if job_id is None else {"job_id": job_id}), **members}
        ArgumentsCheck(JOBS_SPEC.parameters)(arguments)
        tool.effect(arguments)
        return (await tool.run(arguments, USE)).text

    return call


async def _until(call: Callable[[], Any], pattern: str) -> str:
    """Call until all output so far matches; return it."""
    text = ""
    give_up = time.monotonic() + 10
    while not re.search(pattern, text):
        assert time.monotonic() < give_up, text
        text += await call()
        await asyncio.sleep(0.01)
    return text


async def test_a_job_keeps_running_and_is_read_in_chunks(start: Any, jobs: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    outcome = await start("echo one; cat go; echo two; sleep 1000")
    assert outcome.text.startswith("Job 1 started; it stops when VMPilot exits.")
    assert not outcome.is_error
    assert re.fullmatch(r"one\n\[job 1: running for [\d.]+ s, process \d+\]", await jobs("output", 1))
    assert (await jobs("output", 1)).startswith("[job 1: running")
    (tmp_path / "go").write_text("go\n")
    assert (await _until(lambda: jobs("output", 1), "two")).count("one") == 0
    assert (await jobs("output", 1, lines=2)).startswith("go\ntwo\n[job 1")


async def test_a_job_that_fails_at_once_is_reported_at_once(start: Any, jobs: Any) -> None:
    outcome = await start("no-such-program")
    assert re.search(r"command not found\n\[job 1 has already ended: exit code 127, after [\d.]+ s\]$", outcome.text)
    assert (outcome.is_error, outcome.exit_code) == (True, 127)
    assert "job 1: exit code 127" in await jobs("list")


async def test_an_unfinished_line_is_shown_and_input_answers_it(start: Any, jobs: Any) -> None:
    await start("printf 'name? '; read name; echo hello $name; cat; echo end of input")
    assert (await _until(lambda: jobs("output", 1), r"name\? ")).startswith("name? ")
    assert "hello ada" in await jobs("input", 1, text="ada\n")
    text = await jobs("input", 1, text="more\n", close=True)
    assert text.startswith("more\nend of input\n[job 1: exit code 0")
    with pytest.raises(ToolError, match="closed"):
        await jobs("input", 1, text="x")


async def test_a_job_that_does_not_read_its_input_is_reported(start: Any, jobs: Any) -> None:
    await start("sleep 1000")
    with pytest.raises(ToolError, match="does not read its input: "):
        await jobs("input", 1, text="x" * 200_000)


async def test_kill_ends_all_its_processes(start: Any, jobs: Any, survivors: Survivors) -> None:
    await start("trap '' HUP; setsid sleep 1000 & nohup sleep 1000 & echo x; sleep 1000")
    text = await jobs("kill", 1)
    assert "[job 1: ended by the tool jobs, after" in text
    assert survivors() == []
    with pytest.raises(ToolError, match="already ended"):
        await jobs("kill", 1)


async def test_a_job_lasts_as_long_as_its_last_process(start: Any, jobs: Any) -> None:
    await start("sleep 1000 & exit 3")
    assert "its shell has ended (exit code 3), but processes that it started still run" in await jobs("output", 1)
    assert "[job 1: exit code 3" in await jobs("kill", 1)


async def test_a_time_limit_holds_for_jobs(start: Any, jobs: Any, survivors: Survivors) -> None:
    await start("sleep 1000", timeout=0.2)
    await _until(lambda: jobs("list"), "ended after 0.2 s, its time limit")
    assert survivors() == []


async def test_the_next_call_reports_jobs_that_have_ended(start: Any, shell: ShellTool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    await start("cat go; exit 4")
    assert "[ended in the" not in (await shell.run({"command": "true"}, USE)).text
    (tmp_path / "go").write_text("go\n")
    text = await _until(lambda: _text(shell), "in the meantime")
    assert re.search(
        r"\[ended in the meantime: job 1: exit code 4, after .*3 unread characters .*: \$ cat go; exit 4\]", text
    )
    assert "[ended in the" not in (await shell.run({"command": "true"}, USE)).text


async def _text(shell: ShellTool) -> str:
    return (await shell.run({"command": "true"}, USE)).text


async def test_closing_ends_all_jobs(runner: CommandRunner, start: Any, survivors: Survivors) -> None:
    for command in ("sleep 1000", "trap '' TERM; setsid sleep 1000 & sleep 1000", "kill -STOP $$"):
        await start(command)
    assert len(survivors()) > 3
    await runner.close()
    assert survivors() == []


async def test_a_kept_job_outlives_the_conversation(
    runner: CommandRunner, start: Any, tmp_path: Path, survivors: Survivors
) -> None:
    os.mkfifo(tmp_path / "go")
    outcome = await start("cat go; yes | head -c 1000000; echo $$ > written; sleep 1000", keep=True)
    assert outcome.text.startswith("Job 1001 started; it keeps running after VMPilot exits.")
    await runner.close()
    assert survivors() != []
    (tmp_path / "go").write_text("go\n")
    shell = int(await _until(lambda: _read(tmp_path / "written"), r"\d\n"))
    os.killpg(shell, signal.SIGTERM)
    await _until(lambda: _text_of(survivors, "begun"), r"gone")


async def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""  # noqa: ASYNC240


async def _text_of(survivors: Survivors, word: str) -> str:
    return word if survivors() else "gone"


async def test_at_most_sixteen_jobs_run(start: Any, jobs: Any, runner: CommandRunner, tmp_path: Path) -> None:
    for _ in range(16):
        runner.start_job("sleep 1000", folder=tmp_path)
    with pytest.raises(
        ToolError, match=r"Too many background jobs \(16 running: 1, 2, 3, .*\)\. End one with the tool jobs"
    ):
        await start("true")
    await jobs("kill", 5)
    assert (await start("true")).exit_code == 0


async def test_secrets_are_masked_across_reads(start: Any, jobs: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    await start("printf 'one open'; cat go; printf 'sesame two\\n'; sleep 1000")
    text = await _until(lambda: jobs("output", 1), "one")
    assert "open" not in text
    (tmp_path / "go").write_text("")
    text += await _until(lambda: jobs("output", 1), "two")
    assert "open" not in text
    assert "[masked] two" in text


async def test_the_output_of_a_flooding_job_is_limited_and_does_not_block_the_loop(
    start: Any, jobs: Any, tmp_path: Path
) -> None:
    await start("yes x")
    text = await _until(lambda: jobs("output", 1), "cut; ")
    assert len(text) < 200_000
    path = Path(re.search(r"full output in (/\S+\.txt) ", text)[1])  # type: ignore[index]
    assert path.is_relative_to(tmp_path / "outputs")
    assert path.stat().st_size <= 16 * 1024 * 1024  # noqa: ASYNC240
    async with asyncio.timeout(10):  # rather than hang
        await asyncio.sleep(0.05)


async def test_a_job_that_cannot_start_is_an_error(shell: ShellTool, jobs: Any, tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    workspace.root = tmp_path / "gone"
    workspace.move_to(workspace.root)
    tool = ShellTool(workspace, shell._runner)
    with pytest.raises(ToolError, match="gone"):
        await tool.run({"command": "true", "background": True}, USE)
    assert await jobs("list") == "There are no jobs."


async def test_a_job_of_another_loop_is_ended(runner: CommandRunner, tmp_path: Path, survivors: Survivors) -> None:
    def elsewhere() -> None:
        async def begin() -> None:
            job = runner.start_job("echo x; sleep 1000", folder=tmp_path)
            while not job.unread:  # noqa: ASYNC110  it has no event for that
                await asyncio.sleep(0.01)

        asyncio.run(begin())

    await asyncio.to_thread(elsewhere)
    assert survivors() != []
    await runner.close()
    assert survivors() == []


def test_effects_and_titles(shell: ShellTool, runner: CommandRunner, tmp_path: Path) -> None:
    tool = JobsTool(runner)
    assert tool.effect({"action": "list"}) == LooksUp()
    assert tool.effect({"action": "output", "job_id": 3}) == LooksUp()
    assert tool.effect({"action": "kill", "job_id": 3}) == Acts("kill 3")
    assert tool.effect({"action": "input", "job_id": 3, "text": "y\n"}) == Acts("input 3")
    assert tool.title({"action": "input", "job_id": 3, "text": "y\n", "close": True}) == (
        r"job 3: input 'y\n' and close its input"
    )
    assert (tool.title({"action": "kill", "job_id": 3}), tool.title({"action": "list"})) == ("job 3: kill", "jobs")
    arguments = {"command": "sleep 9", "background": True, "keep": True}
    assert shell.effect(arguments) == RunsCommand("sleep 9", tmp_path, background=True)
    assert shell.title(arguments) == "$ sleep 9 (in the background, keeps running after VMPilot exits)"
    with pytest.raises(ToolError, match="keep"):
        shell.effect({"command": "ls", "keep": True})


@pytest.mark.parametrize("arguments", [{"action": "kill"}, {"action": "input", "job_id": 1}])
def test_missing_arguments_are_an_error(runner: CommandRunner, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolError):
        JobsTool(runner).effect(arguments)


@pytest.mark.parametrize("arguments", [{}, {"action": "stop"}, {"action": "output", "job_id": 0}])
def test_arguments_that_the_schema_rejects(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentsProblem):
        ArgumentsCheck(JOBS_SPEC.parameters)(arguments)
