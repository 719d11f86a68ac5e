"""Tool calls: their effects and order, the results that the model receives, and what is stored in time."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.tool_data import output_in

from vmpilot.contract import LimitReached, ToolFinished, ToolOutput, ToolStarted, encode_event
from vmpilot.testing import RecordedRequest, Reply, ScriptedCall, ScriptedServer, Step

if TYPE_CHECKING:
    from tests.system.conftest import Machine

READ_LOG = """
import sqlite3, sys
log = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
for (body,) in log.execute("SELECT body FROM entries ORDER BY number"):
    print(body)
"""


def shell(command: str, **members: Any) -> ScriptedCall:
    return ScriptedCall("shell", {"command": command}, **members)


def tool_messages(request: RecordedRequest) -> list[str]:
    return [output_in(message["content"]) for message in request.messages if message["role"] == "tool"]


async def test_a_call_has_its_effect_and_the_model_its_result(machine: Machine) -> None:
    call = shell("echo out; echo err >&2; echo made > here; exit 3", id="call_a")
    with ScriptedServer([Reply("I look.", tool_calls=(call,)), Reply("Done.")]) as server:
        seen = await machine.ask(server)
    assert (machine.folder / "here").read_text() == "made\n"
    assert tool_messages(server.requests[1]) == ["out\nerr\n[exit code 3]"]
    assistant = server.requests[1].messages[2]
    assert assistant["content"] == "I look."
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_a"]
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == call.arguments
    started, finished = seen.of(ToolStarted)[0], seen.of(ToolFinished)[0]
    assert (started.call.id, started.allowed_by) == ("call_a", "Full mode")
    assert started.title == "$ echo out; echo err >&2; echo made > here; exit 3"
    assert "".join(event.text for event in seen.of(ToolOutput)) == "out\nerr\n"
    assert (finished.exit_code, finished.result.is_error) == (3, True)
    assert [message.text for message in seen.messages] == ["I look.", "Done."]


async def test_read_only_calls_run_in_parallel(machine: Machine) -> None:
    calls = tuple(shell("sleep 0.5", id=f"call_{number}") for number in range(6))
    with ScriptedServer([Reply(tool_calls=calls), Reply("Rested.")]) as server:
        seen = await machine.ask(server, mode="observe")
    first, second = server.requests
    assert first.finished_at is not None
    assert second.arrived_at - first.finished_at < 2.0
    assert [message.get("tool_call_id") for message in second.messages[3:]] == [f"call_{number}" for number in range(6)]
    kinds = [type(event) for event in seen.events if isinstance(event, ToolStarted | ToolFinished)]
    assert kinds == [ToolStarted] * 6 + [ToolFinished] * 6


async def test_other_calls_run_in_order_and_so_do_their_results(machine: Machine) -> None:
    calls = (
        shell("sleep 0.2; echo 1 >> order", id="call_c"),
        shell("echo 2 >> order", id="call_b"),
        shell("cat order", id="call_a"),
        shell("echo 3 >> order; cat order", id="call_d"),
    )
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")]) as server:
        await machine.ask(server)
    assert (machine.folder / "order").read_text() == "1\n2\n3\n"
    assert [message["tool_call_id"] for message in server.requests[1].messages[3:]] == [call.id for call in calls]
    assert tool_messages(server.requests[1])[2:] == ["1\n2\n[exit code 0]", "1\n2\n3\n[exit code 0]"]


async def test_the_working_folder_is_kept_within_and_across_turns(machine: Machine) -> None:
    (machine.folder / "sub").mkdir()
    script: list[Step] = [
        Reply(tool_calls=(shell("cd sub"),)),
        Reply(tool_calls=(shell("pwd"),)),
        Reply("There."),
        Reply(tool_calls=(shell("pwd"),)),
        Reply("Still there."),
    ]
    with ScriptedServer(script) as server:
        first = await machine.ask(server)
        await machine.ask(server, conversation=first.started.conversation_id)
    place = f"{machine.folder / 'sub'}\n[exit code 0]"
    assert tool_messages(server.requests[2])[1] == place
    assert tool_messages(server.requests[4])[2] == place


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        pytest.param("shell", '{"command": "touch ran"', "not a valid JSON", id="truncated"),
        pytest.param("shell", "touch ran", "not a valid JSON", id="no JSON"),
        pytest.param("shell", '{"command": "true", "command": "touch ran"}', "repeated", id="doubled key"),
        pytest.param("shell", '["touch ran"]', "list", id="list"),
        pytest.param("shell", '"touch ran"', "str", id="string"),
        pytest.param("shell", "null", "NoneType", id="null"),
        pytest.param("shell", "", "required", id="nothing"),
        pytest.param("shell", '{"command": 7}', "command", id="wrong type"),
        pytest.param("shell", '{"command": "touch ran", "force": true}', "force", id="unknown member"),
        pytest.param("shell", '{"command": "touch ran", "timeout": NaN}', "NaN", id="NaN"),
        pytest.param("shell", '{"command": "touch ran \\u0000"}', "NUL", id="NUL"),
        pytest.param("shell", '{"command": "touch ran \\ud83d"}', "unpaired surrogate", id="surrogate"),
        pytest.param("bash", '{"command": "touch ran"}', 'unknown tool "bash"', id="unknown tool"),
        pytest.param("sh ell!", '{"command": "touch ran"}', 'unknown tool "sh ell!"', id="odd name"),
        pytest.param("", '{"command": "touch ran"}', 'unknown tool ""', id="no name"),
    ],
)
async def test_an_ambiguous_call_is_not_run_and_the_model_is_informed(
    machine: Machine, name: str, arguments: str, told: str
) -> None:
    with ScriptedServer([Reply(tool_calls=(ScriptedCall(name, arguments),)), Reply("I see.")]) as server:
        seen = await machine.ask(server)
    assert told in tool_messages(server.requests[1])[0]
    assert list(machine.folder.iterdir()) == []
    assert seen.of(ToolStarted) == []
    assert [result.is_error for result in seen.results] == [True]
    assert seen.end.reason == "answered"


@pytest.mark.parametrize("ids", [("x", "x", "x"), ("", "", "")], ids=["doubled", "empty"])
async def test_calls_with_duplicate_or_empty_ids_are_separate_calls(machine: Machine, ids: tuple[str, ...]) -> None:
    calls = tuple(shell(f"echo {number}", id=id_) for number, id_ in enumerate(ids))
    with ScriptedServer([Reply(tool_calls=calls), Reply(tool_calls=calls), Reply("Done.")]) as server:
        await machine.ask(server)
    asked = [call["id"] for message in server.requests[2].messages for call in message.get("tool_calls", ())]
    assert len(set(asked)) == 6
    assert tool_messages(server.requests[2]) == [f"{number}\n[exit code 0]" for number in range(3)] * 2


async def test_a_call_in_a_truncated_message_never_runs(machine: Machine) -> None:
    calls = (shell("touch whole"), ScriptedCall("shell", '{"command": "touch half'))
    with ScriptedServer([Reply(tool_calls=calls, finish="length"), Reply("Shorter.")]) as server:
        seen = await machine.ask(server)
    assert list(machine.folder.iterdir()) == []
    assert seen.of(ToolStarted) == []
    assert all("cut off" in text for text in tool_messages(server.requests[1]))
    assert seen.end.reason == "answered"


async def test_message_and_start_are_on_disk_before_the_command_and_the_result_before_the_model(
    machine: Machine,
) -> None:
    reader = machine.home / "read_log.py"
    reader.write_text(READ_LOG)
    command = shlex.join([sys.executable, str(reader), str(machine.database)])

    def answer(request: RecordedRequest) -> Step:
        results = [event.result.text for event in machine.stored() if isinstance(event, ToolFinished)]
        assert results == tool_messages(request)
        return Reply("Both are there.")

    with ScriptedServer([Reply("I look.", tool_calls=(shell(command, id="call_a"),)), answer]) as server:
        seen = await machine.ask(server)
    printed = [json.loads(line) for line in seen.results[0].text.splitlines()[:-1]]
    assert [entry["type"] for entry in printed] == ["turn_started", "message_completed", "tool_started"]
    assert printed[1]["message"]["tool_calls"][0]["id"] == printed[2]["call"]["id"] == "call_a"


async def test_the_step_limit_stops_the_turn_and_continue_resumes_it(machine: Machine) -> None:
    calls = [Reply(tool_calls=(shell(f"echo {number}"),)) for number in range(2)]
    with ScriptedServer([*calls, Reply("Both done.")]) as server:
        async with machine.agent(server, max_steps=2) as agent:
            stopped = await machine.play(agent)
            assert server.requests[-1].number == 2
            done = await machine.play(agent, "continue")
    (limit,) = stopped.of(LimitReached)
    assert (limit.limit, limit.maximum) == ("steps", 2)
    assert "continue" in limit.text
    assert "--max-steps" in limit.text
    assert (stopped.end.reason, stopped.end.exit_code, stopped.end.error) == ("limit", 3, None)
    assert (done.end.reason, done.messages[-1].text) == ("answered", "Both done.")
    assert tool_messages(server.requests[2]) == ["0\n[exit code 0]", "1\n[exit code 0]"]


async def test_secrets_in_the_output_are_masked_in_result_live_output_and_log(machine: Machine) -> None:
    halves = ["ghp_01234", "56789abcdef"]
    token = "".join(halves)
    machine.variables["GITHUB_TOKEN"] = token
    leak = machine.folder / "leak"
    leak.write_text(f"a {token} b sk-system-0123456789abcdef c\n")
    # The halves are written separately, so that the value is split in the live output.
    command = f"cat leak; printf {halves[0]}; sleep 0.2; echo {halves[1]}; env"
    with ScriptedServer([Reply(tool_calls=(shell(command),)), Reply("Seen.")]) as server:
        seen = await machine.ask(server)
    live = "".join(event.text for event in seen.of(ToolOutput))
    for text in (live, seen.results[0].text, tool_messages(server.requests[1])[0]):
        assert text.startswith("a [masked] b [masked] c\n[masked]\n")
        assert token not in text
        assert "GITHUB_TOKEN" not in text
    assert token not in "".join(map(encode_event, machine.stored()))
    leak.unlink()


async def test_a_long_output_is_truncated_for_the_model_and_complete_for_the_user(machine: Machine) -> None:
    with ScriptedServer([Reply(tool_calls=(shell("seq 100000"),)), Reply("Long.")]) as server:
        seen = await machine.ask(server)
    (told,) = tool_messages(server.requests[1])
    assert len(told) < 41_000
    assert told.startswith("1\n2\n")
    assert "cut" in told
    assert told.endswith("100000\n[exit code 0]")
    assert "".join(event.text for event in seen.of(ToolOutput)).splitlines() == [str(n) for n in range(1, 100_001)]


async def test_a_command_that_times_out_is_ended_and_its_output_reported(machine: Machine) -> None:
    call = ScriptedCall("shell", {"command": "echo begun; sleep 60", "timeout": 0.3})
    with ScriptedServer([Reply(tool_calls=(call,)), Reply("Too slow.")]) as server:
        await machine.ask(server)
    (told,) = tool_messages(server.requests[1])
    assert told.startswith("begun\n[timed out after 0.3 s")
