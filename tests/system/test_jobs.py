"""A kept job across conversations, the same on both backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer
from vmpilot.tools.kept_jobs import KeptJobs

if TYPE_CHECKING:
    from tests.system.conftest import Machine


async def test_a_kept_job_is_ended_by_another_conversation(machine: Machine) -> None:
    arguments = {"command": "echo ready; sleep 1000", "background": True, "keep": True}
    run = Reply(tool_calls=(ScriptedCall("shell", arguments),))
    look, kill = (
        Reply(tool_calls=(ScriptedCall("jobs", {"action": action, "job_id": 1001}),)) for action in ("output", "kill")
    )
    with ScriptedServer([run, Reply("It runs."), look, kill, Reply("Ended.")]) as server:
        async with machine.agent(server) as agent:
            await machine.play(agent)
            assert [note.partition(":")[0] for note in agent.job_notes] == ["Job 1001 keeps running"]
        seen = await machine.ask(server)
    assert "ready" in seen.results[0].text
    assert "[job 1001: stopped, after " in seen.results[1].text
    assert KeptJobs(machine.environment.jobs_folder).find(1001).over
    assert machine.survivors() == []


async def test_jobs_that_end_with_the_agent_are_reported(machine: Machine) -> None:
    run = Reply(tool_calls=(ScriptedCall("shell", {"command": "sleep 1000", "background": True}),))
    with ScriptedServer([run, Reply("It runs.")]) as server:
        async with machine.agent(server) as agent:
            await machine.play(agent)
            assert agent.job_notes == ("Job 1 was stopped (only kept jobs outlive VMPilot): $ sleep 1000",)
    assert machine.survivors() == []
