"""Repeated queries on both backends: the second time the server gets no request."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
from tests.redis_server import RedisServer, redis, running_redis

from vmpilot.cache._turn_cache import FROM_CACHE
from vmpilot.contract import Notice, ReasoningDelta, TextDelta, ToolCallDelta, ToolStarted, Usage
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer

from .conftest import KEY, Machine, Seen

__all__ = ["redis", "running_redis"]

TOOLS = [
    Reply("I look.", reasoning="Hm.", tool_calls=(ScriptedCall("shell", {"command": "cat notes.txt"}),)),
    Reply("It says wombat."),
]
CACHED = {"cache": "disk", "temperature": 0.0}


def notices(seen: list[Notice]) -> list[str]:
    return [notice.text for notice in seen]


async def test_a_turn_with_tools_is_replayed(machine: Machine) -> None:
    (machine.folder / "notes.txt").write_text("wombat\n")
    with ScriptedServer(TOOLS) as server:
        first = await machine.ask(server, "What do my notes say?", **CACHED)
        again = await machine.ask(server, "What do my notes say?", **CACHED)
        assert len(server.requests) == 2
    assert again.text == first.text == "I look.It says wombat."
    assert [message.tool_calls for message in again.messages] == [message.tool_calls for message in first.messages]
    assert [result.text for result in again.results] == [result.text for result in first.results]
    assert notices(first.of(Notice)) == []
    assert notices(again.of(Notice)) == [FROM_CACHE]
    assert {TextDelta, ToolCallDelta, ReasoningDelta} <= {type(event) for event in again.events}
    assert first.end.usage == Usage(200, 40)
    assert (again.end.usage, again.end.cost) == (Usage(), 0.0)
    assert (again.end.reason, again.end.exit_code) == ("answered", 0)


async def test_tools_really_run_and_their_output_decides_the_next_request(machine: Machine) -> None:
    notes = machine.folder / "notes.txt"
    notes.write_text("wombat\n")
    with ScriptedServer([*TOOLS, Reply("Now it says zebra.")]) as server:
        await machine.ask(server, "What do my notes say?", **CACHED)
        notes.write_text("zebra\n")
        again = await machine.ask(server, "What do my notes say?", **CACHED)
        assert len(server.requests) == 3
    assert again.text == "I look.Now it says zebra."
    assert again.end.usage == Usage(100, 20)


async def test_streaming_does_not_affect_the_cache(machine: Machine) -> None:
    with ScriptedServer([Reply("One answer.")]) as server:
        for streaming in (False, True, False):
            seen = await machine.ask(server, "Once?", streaming=streaming, **CACHED)
            assert seen.text == "One answer."
        assert len(server.requests) == 1


async def test_a_continued_conversation_is_replayed_completely(machine: Machine) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        for _ in range(2):
            async with machine.agent(server, **CACHED) as agent:
                texts = [(await machine.play(agent, request)).text for request in ("First?", "Second?")]
            assert texts == ["One.", "Two."]
        assert len(server.requests) == 2


async def test_a_different_question_backend_or_temperature_is_sent(machine: Machine) -> None:
    other = {"litellm": "langchain", "langchain": "litellm"}[machine.backend]
    changes: list[dict[str, object]] = [
        {},
        {"temperature": 0.1},
        {"temperature": None},
        {"backend": other},
        {"seed": 1},
    ]
    with ScriptedServer([Reply(f"{number}.") for number in range(6)]) as server:
        texts = [(await machine.ask(server, "Which?", **{**CACHED, **change})).text for change in changes]
        texts.append((await machine.ask(server, "Which one?", **CACHED)).text)
    assert texts == [f"{number}." for number in range(6)]


async def test_answers_above_temperature_0_are_cached_on_request(machine: Machine) -> None:
    with ScriptedServer([Reply("One.")]) as server:
        for _ in range(2):
            seen = await machine.ask(server, "Which?", cache="disk", cache_any_temperature=True)
            assert seen.text == "One."
        assert len(server.requests) == 1


async def test_failed_and_truncated_answers_are_not_reused(machine: Machine) -> None:
    with ScriptedServer([HttpError(401, "no"), Reply("Half an", finish="length"), Reply("Whole.")]) as server:
        reasons = [(await machine.ask(server, "Which?", **CACHED)).end.reason for _ in range(4)]
        assert len(server.requests) == 3
    assert reasons == ["failed", "limit", "answered", "answered"]


async def test_a_server_that_rejects_tools_or_members_is_not_asked_twice(machine: Machine) -> None:
    refusal = HttpError(400, "registry.ollama.ai/library/m does not support tools")
    with ScriptedServer([refusal, Reply("By text.")]) as server:
        for _ in range(2):
            seen = await machine.ask(server, "How?", **CACHED)
            assert seen.messages[-1].text == "By text."
        assert len(server.requests) == 2


async def test_two_machines_share_a_redis(machine: Machine, redis: RedisServer, tmp_path: Path) -> None:
    shared = {"cache": redis.url, "temperature": 0.0}
    second = Machine(tmp_path / "second", machine.backend)
    second.folder.mkdir(parents=True)
    with ScriptedServer([Reply("One."), Reply("For another account.")]) as server:
        assert (await machine.ask(server, "Which?", **shared)).text == "One."
        assert (await second.ask(server, "Which?", **shared)).text == "One."
        other = await second.ask(server, "Which?", **shared, api_key="sk-of-somebody-else")
        assert other.text == "For another account."
    held = redis.ask("KEYS", "*")
    assert KEY not in held
    assert not any(KEY in redis.ask("GET", name) for name in held.split() if ":entry:" in name)


async def test_a_redis_that_dies_between_two_calls_is_reported_in_one_line(machine: Machine, tmp_path: Path) -> None:
    server_of_cache = RedisServer(tmp_path)
    server_of_cache.start()
    try:
        with ScriptedServer(TOOLS) as server:
            (machine.folder / "notes.txt").write_text("wombat\n")
            async with (
                machine.agent(server, cache=server_of_cache.url, temperature=0.0) as agent,
                aclosing(agent.run("What do my notes say?")) as events,
            ):
                seen = Seen([])
                async for event in events:
                    seen.events.append(event)
                    if isinstance(event, ToolStarted):
                        server_of_cache.kill()
    finally:
        server_of_cache.kill()
    (told,) = notices(seen.of(Notice))
    assert told.startswith("The cache is off for the rest of this request: ")
    assert seen.end.reason == "answered"


@pytest.mark.parametrize("mode", ["operate", "observe"])
async def test_commands_do_not_see_the_cache(machine: Machine, mode: str) -> None:
    answers = machine.environment.answers_folder
    call = ScriptedCall("shell", {"command": f"ls -A {answers}"})
    with ScriptedServer([Reply("One."), Reply("", tool_calls=(call,)), Reply("Nothing.")]) as server:
        await machine.ask(server, "First?", **CACHED)
        assert list(answers.iterdir())
        seen = await machine.ask(server, "Look.", **CACHED, mode=mode)
    assert "answers.db" not in seen.results[0].text
