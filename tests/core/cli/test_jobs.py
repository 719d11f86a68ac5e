"""Background jobs: those that end with the request are reported, kept ones are listed and stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer
from vmpilot.tools.kept_jobs import KeptJobs

from .conftest import Here


def background(command: str, **members: object) -> Reply:
    call = ScriptedCall("shell", {"command": command, "background": True, **members})
    return Reply(tool_calls=(call,))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptJobs]:
    jobs = KeptJobs(tmp_path / "data" / "jobs")
    yield jobs
    for job in jobs.all():
        job.stop()


def until(done: Callable[[], object]) -> None:
    give_up = time.monotonic() + 15
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_stopped_job_is_reported(here: Here, output: str) -> None:
    with ScriptedServer([background("sleep 1000"), Reply("It runs.")]) as server:
        ran = here("--mode", "full", "--output", output, "serve", server=server)
    assert ran.code == 0
    note = "vmpilot: Job 1 was stopped (only kept jobs outlive VMPilot): $ sleep 1000\n"
    assert ran.err.endswith(note)
    assert here("jobs", "list").err == "vmpilot: No background jobs.\n"


def test_a_finished_job_is_not_mentioned(here: Here) -> None:
    with ScriptedServer([background("true"), Reply("Done.")]) as server:
        assert "Job 1" not in here("--mode", "full", "do", server=server).err


def test_a_kept_job_is_listed_read_and_stopped_later(here: Here, kept: KeptJobs) -> None:
    with ScriptedServer([background("echo ready; sleep 1000", keep=True), Reply("It runs.")]) as server:
        ran = here("--mode", "full", "--output", "json", "serve", server=server)
    assert ran.err.endswith("vmpilot: Job 1001 keeps running: $ echo ready; sleep 1000 (see `vmpilot jobs`)\n")
    (job,) = json.loads(here("jobs", "list", "--output", "json").out)
    assert (job["id"], job["running"], job["command"]) == (1001, True, "echo ready; sleep 1000")
    assert job["conversation_id"] == json.loads(ran.out)["conversation_id"]
    assert "  running for " in here("jobs", "list").out
    until(lambda: here("jobs", "log", "1001").out == "ready\n")
    assert here("jobs", "log", "-n", "1", "1001").err.startswith("vmpilot: Job 1001: running for ")
    stopped = here("jobs", "stop", "1001")
    assert (stopped.code, stopped.out) == (0, "Stopped job 1001: echo ready; sleep 1000\n")
    assert kept.find(1001).over
    again = here("jobs", "stop", "1001")
    assert (again.code, again.out) == (0, "")
    assert "Job 1001 has already ended: stopped, after " in again.err
    assert here("jobs", "log", "1001").out == "ready\n"


def test_the_next_request_can_end_it(here: Here, kept: KeptJobs) -> None:
    with ScriptedServer([background("sleep 1000", keep=True), Reply("It runs.")]) as server:
        here("--mode", "full", "serve", server=server)
    kill = Reply(tool_calls=(ScriptedCall("jobs", {"action": "kill", "job_id": 1001}),))
    with ScriptedServer([kill, Reply("Ended.")]) as server:
        ran = here("--mode", "full", "end it", server=server)
        assert "[job 1001: stopped, after " in server.requests[1].messages[-1]["content"]
    assert ran.code == 0
    assert kept.find(1001).over


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("jobs",), "ACTION"),
        (("jobs", "log", "7"), "Kept job 7 does not exist"),
        (("jobs", "stop", "../7"), "invalid int value"),
        (("jobs", "log", "-n", "0", "1001"), "must be at least 1"),
    ],
)
def test_invalid_usage(here: Here, arguments: tuple[str, ...], told: str) -> None:
    ran = here(*arguments)
    assert ran.code == 2
    assert told in ran.err


def test_hostile_output_cannot_control_the_terminal(here: Here, kept: KeptJobs) -> None:
    job = kept.begin("printf '\x1b[2J'", conversation="c")
    (job.folder / "state.json").write_text('{"ended": 1.0, "code": 0}')
    (job.folder / "output.0").write_text("\x1b[2Jcleared\u202e\n")
    assert "\x1b" not in here("jobs", "list").out
    assert here("jobs", "log", str(job.number)).out == "\\x1b[2Jcleared\\u202e\n"
