"""Limits of a turn, the same on both backends: usage, reached limits, and how the conversation continues."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import LimitReached, Notice, ToolOutput, ToolStarted, Usage
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer, Stall

if TYPE_CHECKING:
    from tests.system.conftest import Machine, Seen


def runs(command: str, **members: Any) -> Reply:
    """An answer that runs a command."""
    return Reply(tool_calls=(ScriptedCall("shell", {"command": command}),), **members)


def limit_of(seen: Seen) -> LimitReached:
    """The only limit that was reached; it ended the turn."""
    assert (seen.end.reason, seen.end.exit_code, seen.end.error) == ("limit", 3, None)
    (reached,) = seen.of(LimitReached)
    return reached


def notices(seen: Seen) -> list[str]:
    return [event.text for event in seen.of(Notice)]


async def test_the_step_limit_warns_and_continue_resumes(machine: Machine) -> None:
    script = [*(runs(f"echo {number}") for number in range(10)), Reply("Done.")]
    with ScriptedServer(script) as server:
        async with machine.agent(server, max_steps=10) as agent:
            seen = await machine.play(agent)
            assert limit_of(seen).limit == "steps"
            assert notices(seen) == ["8 of the 10 steps of this request are used (--max-steps)."]
            assert seen.end.steps == 10
            again = await machine.play(agent, "continue")
    assert (again.end.reason, again.end.steps) == ("answered", 1)


async def test_tokens(machine: Machine) -> None:
    usage = Usage(400, 50)
    script = [runs(f"echo {number}", usage=usage) for number in range(3)]
    with ScriptedServer(script) as server:
        seen = await machine.ask(server, max_total_tokens=1_000)
    assert (limit_of(seen).limit, limit_of(seen).maximum) == ("tokens", 1_000)
    assert "--max-total-tokens" in limit_of(seen).text
    assert notices(seen) == ["900 of the 1,000 tokens of this request are used (--max-total-tokens)."]
    assert seen.end.usage == Usage(1_200, 150)


async def test_money_at_an_unknown_price(machine: Machine) -> None:
    script = [runs(f"echo {number}", usage=Usage(1_000, 200)) for number in range(2)]  # 3 cents each, as assumed
    with ScriptedServer(script) as server:
        seen = await machine.ask(server, max_cost=0.05)
    assert limit_of(seen).limit == "money"
    assert limit_of(seen).text.startswith("Stopped at $0.0600; the limit for one request is $0.0500.")
    (sentence,) = notices(seen)
    assert "scripted is unknown" in sentence
    assert seen.end.cost is None


async def test_money_at_a_known_price(machine: Machine) -> None:
    script = [runs(f"echo {number}", usage=Usage(10_000, 1_000)) for number in range(2)]
    with ScriptedServer(script, repeat_last=True) as server:
        seen = await machine.ask(server, model="openai/gpt-4o", max_cost=0.05)
    assert limit_of(seen).text.startswith("Stopped at $0.0700; the limit for one request is $0.0500.")
    assert notices(seen) == []
    assert seen.end.cost == pytest.approx(0.07)
    assert limit_of(seen).limit == "money"


async def test_missing_usage_is_estimated(machine: Machine) -> None:
    script = [runs(f"seq {number} 4000", usage=None) for number in range(2)]
    with ScriptedServer(script) as server:
        seen = await machine.ask(server, max_total_tokens=7_000)
    assert limit_of(seen).limit == "tokens"
    assert "use an estimate" in notices(seen)[0]
    assert (seen.end.usage, seen.end.cost) == (Usage(), None)


async def test_the_time_limit_ends_a_running_command(machine: Machine) -> None:
    script = [runs("echo begun; sleep 60 & sleep 60"), Reply("I see.")]
    with ScriptedServer(script) as server:
        async with machine.agent(server, max_seconds=1.5) as agent:
            seen = await machine.play(agent)
            assert machine.survivors() == []
            assert (limit_of(seen).limit, limit_of(seen).maximum) == ("seconds", 1.5)
            assert "begun" in "".join(event.text for event in seen.of(ToolOutput))
            assert (await machine.play(agent, "continue")).end.reason == "answered"
    heard = server.requests[1].messages[3]["content"]
    assert "begun\n" in heard
    assert "may have had partial effects" in heard
    assert [message["role"] for message in server.requests[1].messages][2:] == [
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


async def test_the_time_limit_ends_a_model_call(machine: Machine) -> None:
    with ScriptedServer([Stall(after=3, reply=Reply("This goes on for long.")), Reply("Fresh.")]) as server:
        async with machine.agent(server, max_seconds=1.0) as agent:
            seen = await machine.play(agent)
            await asyncio.to_thread(server.wait_for_hangup)
            assert limit_of(seen).limit == "seconds"
            assert [(message.text, message.finish) for message in seen.messages] == [("This goes ", "cut")]
            assert (await machine.play(agent, "continue")).end.reason == "answered"


UNUSABLE = {
    "no JSON": '{"command": "touch half',
    "another shape": '{"cmd": "touch half"}',
    "doubled": '{"command": "true", "command": "touch half"}',
    "huge number": '{"command": "touch half", "timeout": 1e999}',
}


@pytest.mark.parametrize("arguments", UNUSABLE.values(), ids=UNUSABLE)
async def test_three_unusable_answers_stop_the_turn(machine: Machine, arguments: str) -> None:
    script = [Reply(tool_calls=(ScriptedCall("shell", arguments),))] * 3
    with ScriptedServer(script) as server:
        seen = await machine.ask(server)
    assert (limit_of(seen).limit, limit_of(seen).maximum) == ("broken_answers", 3)
    assert seen.of(ToolStarted) == []
    assert not (machine.folder / "half").exists()


async def test_calls_of_unknown_tools_count_as_unusable(machine: Machine) -> None:
    script = [Reply(tool_calls=(ScriptedCall(name, {"command": "ls"}),)) for name in ("bash", "Shell", "shell ls")]
    with ScriptedServer(script) as server:
        seen = await machine.ask(server)
    assert limit_of(seen).limit == "broken_answers"


async def test_the_same_call_forever(machine: Machine) -> None:
    with ScriptedServer([runs("echo same")] * 5) as server:
        seen = await machine.ask(server)
    assert limit_of(seen).limit == "repeated_calls"
    assert len(seen.of(ToolStarted)) == 5
    told = [json.dumps(request.messages) for request in server.requests]
    assert ["you made this same call 3 times" in each for each in told] == [False, False, False, True, True]
    nudged = server.requests[4].messages[-1]["content"]
    output, _, remark = nudged.partition("</output-")
    assert "same\n[exit code 0]" in output
    assert "[VMPilot: you made this same call 4 times with the same result." in remark


async def test_two_alternating_calls_forever(machine: Machine) -> None:
    with ScriptedServer([runs("echo one"), runs("echo two")] * 5) as server:
        seen = await machine.ask(server)
    assert limit_of(seen).limit == "repeated_calls"


async def test_edit_and_test_is_not_a_loop(machine: Machine) -> None:
    edits = [reply for number in range(8) for reply in (runs(f"echo {number} > file"), runs("true"))]
    with ScriptedServer([*edits, Reply("Done.")]) as server:
        seen = await machine.ask(server)
    assert seen.end.reason == "answered"
    assert not any(result.remark for result in seen.results)


async def test_endless_varied_calls_are_stopped_by_the_step_limit(machine: Machine) -> None:
    with ScriptedServer([runs(f"echo {number}") for number in range(25)]) as server:
        seen = await machine.ask(server)
    assert (limit_of(seen).limit, limit_of(seen).maximum) == ("steps", 25)
