"""A recorded session, replayed on its own backend and on the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import TextDelta
from vmpilot.engine.recording import read_recording
from vmpilot.lab.replay import RecordingMismatch, Replay, replay_turn
from vmpilot.plugins import choose_backend, installed_backends, load_backend
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall

if TYPE_CHECKING:
    from tests.system.conftest import Machine

SCRIPT: list[Any] = [
    Reply(
        "Let me look.",
        reasoning="Hm.",
        tool_calls=(
            ScriptedCall("shell", {"command": "echo one >> runs; date +%N"}),
            ScriptedCall("shell", '{"command": "ec'),
            ScriptedCall("nothing", {}),
        ),
    ),
    HttpError(503, "Busy."),
    Reply(tool_calls=(ScriptedCall("shell", {"command": "echo two >> runs; date +%N"}),)),
    Reply("Done."),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return tmp_path / "session.recording"


async def record(machine: Machine, recording: Path, script: list[Any], requests: int = 1, **settings: Any) -> None:
    with ScriptedServer(script) as server:
        async with machine.agent(server, record=recording, **settings) as agent:
            for number in range(requests):
                await machine.play(agent, f"Request {number}.")


def rewrite(recording: Path, change: Callable[[list[str]], list[str]]) -> None:
    recording.write_text("\n".join(change(recording.read_text().splitlines())) + "\n")


def without_last(kind: str, lines: list[str]) -> list[str]:
    kinds = [json.loads(line).get("event", json.loads(line))["type"] for line in lines]
    last = len(kinds) - 1 - kinds[::-1].index(kind)
    return lines[:last] + lines[last + 1 :]


async def play(recording: Path, backend: str) -> list[Replay]:
    loaded = load_backend(choose_backend(installed_backends(), backend).backend)
    return [await replay_turn(turn, loaded) for turn in read_recording(recording).turns]


@pytest.mark.parametrize("other", ["litellm", "langchain"])
async def test_either_backend_replays_the_session_and_runs_nothing(
    machine: Machine, recording: Path, other: str
) -> None:
    await record(machine, recording, SCRIPT)
    (replay,) = await play(recording, other)
    assert (replay.requests, replay.calls, replay.reason) == (3, 2, "answered")
    assert replay.differences == ()
    assert (machine.folder / "runs").read_text() == "one\ntwo\n"


async def test_a_recording_is_independent_of_the_provider(machine: Machine, recording: Path) -> None:
    """The recording does not contain ids translated for Mistral."""
    script = [Reply(tool_calls=(ScriptedCall("shell", {"command": "true"}, id="call_long_id"),)), Reply("Done.")]
    await record(machine, recording, script, model="mistral/mistral-large-latest")
    (replay,) = await play(recording, machine.backend)
    assert (replay.requests, replay.differences) == (2, ())
    assert "call_long_id" in repr(read_recording(recording).turns[0].calls[1].messages)


async def test_each_turn_of_a_session_is_replayed(machine: Machine, recording: Path) -> None:
    await record(machine, recording, [Reply("First."), Reply("Second.")], requests=2)
    replays = await play(recording, machine.backend)
    assert [(replay.requests, replay.differences) for replay in replays] == [(1, ()), (1, ())]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("Request 0.", "Request 9.", {"request 1, message 2", "request 2, message 2", "request 3, message 2"}),
        ('"reason":"answered"', '"reason":"limit"', {"end"}),
    ],
)
async def test_a_difference_is_shown(machine: Machine, recording: Path, old: str, new: str, what: set[str]) -> None:
    await record(machine, recording, SCRIPT)
    rewrite(
        recording, lambda lines: [line if '"type":"turn"' in line[:20] else line.replace(old, new) for line in lines]
    )
    (replay,) = await play(recording, machine.backend)
    assert {difference.what for difference in replay.differences} == what
    assert all(difference.recorded != difference.now for difference in replay.differences)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("exchange", "Model call 3 is not in the recording, which has 2 answers"),
        ("tool_finished", "The recording has no result for shell with"),
    ],
)
async def test_a_missing_entry_is_an_error(machine: Machine, recording: Path, kind: str, told: str) -> None:
    await record(machine, recording, SCRIPT)
    rewrite(recording, lambda lines: without_last(kind, lines))
    with pytest.raises(RecordingMismatch, match=told):
        await play(recording, machine.backend)


async def test_a_failed_turn_fails_again(machine: Machine, recording: Path) -> None:
    await record(machine, recording, [*SCRIPT[:1], HttpError(401, "No.")])
    (replay,) = await play(recording, machine.backend)
    assert (replay.requests, replay.reason, replay.recorded_reason) == (2, "failed", "failed")
    assert replay.differences == ()


async def test_an_interrupted_answer_is_not_a_difference(machine: Machine, recording: Path) -> None:
    with ScriptedServer([SCRIPT[0], Stall(after=4, reply=Reply("One two three."))]) as server:
        async with machine.agent(server, record=recording) as agent, aclosing(agent.run("Go.")) as events:
            async for event in events:
                if isinstance(event, TextDelta) and "two" in event.text:
                    agent.stop()
    (replay,) = await play(recording, machine.backend)
    assert (replay.requests, replay.reason, replay.recorded_reason) == (2, "failed", "interrupted")
    assert replay.differences == ()


async def test_a_denial_is_replayed(machine: Machine, recording: Path) -> None:
    script = [Reply(tool_calls=(ScriptedCall("shell", {"command": "touch x"}),)), Reply("I may not.")]
    await record(machine, recording, script, mode="observe")
    (replay,) = await play(recording, machine.backend)
    assert (replay.calls, replay.recorded_reason) == (1, "denied")
    assert replay.differences == ()
