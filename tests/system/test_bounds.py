"""Answers that are too long or never end: cut at a limit, kept, marked, and reported; on both backends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vmpilot.contract import LimitReached, MessageCompleted, Notice, ToolStarted
from vmpilot.testing import Raw, Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.system.conftest import Machine

PIECE = 250_000
CUT_HERE = "The answer was cut off: it exceeds the 2,000,000 characters that VMPilot reads. Send “continue” to resume."


def stream_of(count: int, **delta: object) -> Raw:
    """A stream of this many equal chunks without an end marker."""
    chunk = json.dumps({"choices": [{"index": 0, "delta": delta}]})
    return Raw(text=f"data: {chunk}\n\n" * count, content_type="text/event-stream")


async def test_an_endless_text_is_cut(machine: Machine) -> None:
    with ScriptedServer([stream_of(40, content="x" * PIECE)]) as server:
        seen = await machine.ask(server)
    assert len(seen.text) == 2_000_000
    assert [event.message.finish for event in seen.of(MessageCompleted)] == ["length"]
    assert [event.text for event in seen.of(Notice)] == [
        "VMPilot reads at most 2,000,000 characters of one answer. The rest was discarded."
    ]
    assert (seen.end.reason, seen.end.exit_code) == ("limit", 3)
    assert [event.text for event in seen.of(LimitReached)] == [CUT_HERE]


@pytest.mark.parametrize("tool_mode", ["auto", "text"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_cut_answer_is_attributed_to_vmpilot_or_the_model(
    machine: Machine, tool_mode: str, streaming: bool
) -> None:
    """VMPilot's limit in the first turn, the model's limit in the second one of the same agent."""
    steps = [Reply("x" * 8_000_000, chunks=1), Reply("Half of an", finish="length")]
    with ScriptedServer(steps) as server:
        async with machine.agent(server, tool_mode=tool_mode, streaming=streaming) as agent:
            long, short = await machine.play(agent), await machine.play(agent)
    assert [event.text for event in long.of(LimitReached)] == [CUT_HERE]
    assert ["output token limit" in event.text for event in short.of(LimitReached)] == [True]


async def test_thousands_of_calls_are_rejected_and_the_model_is_informed(machine: Machine) -> None:
    calls = tuple(ScriptedCall("shell", {"command": f"touch {number}"}) for number in range(2_000))
    with ScriptedServer([Reply(tool_calls=calls), Reply("One by one, then.")]) as server:
        seen = await machine.ask(server)
    assert list(machine.folder.iterdir()) == []
    assert seen.of(ToolStarted) == []
    assert [result.is_error for result in seen.results] == [True] * 64
    assert ["more than 64 tool calls" in event.text for event in seen.of(Notice)] == [True]
    assert "cut off" in json.dumps(server.requests[1].messages[-1])
    assert seen.text == "One by one, then."


async def test_endless_arguments_are_not_run(machine: Machine) -> None:
    first = {"index": 0, "id": "a", "function": {"name": "shell", "arguments": '{"command": "touch x'}}
    more = {"index": 0, "function": {"arguments": "x" * PIECE}}
    raw = stream_of(1, tool_calls=[first]).text + stream_of(20, tool_calls=[more]).text
    with ScriptedServer([Raw(text=raw, content_type="text/event-stream"), Reply("Shorter, then.")]) as server:
        seen = await machine.ask(server)
    assert list(machine.folder.iterdir()) == []
    assert [result.is_error for result in seen.results] == [True]
    assert seen.text == "Shorter, then."


async def test_an_unstreamed_answer_has_the_same_limits(machine: Machine) -> None:
    with ScriptedServer([Reply("x" * (2_000_000 + PIECE), chunks=1)]) as server:
        seen = await machine.ask(server, streaming=False)
    assert len(seen.text) == 2_000_000
    assert seen.end.reason == "limit"
