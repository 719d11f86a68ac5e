"""The two backends of `docs/langgraph.md`, run against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from vmpilot.contract import Notice, Retrying, TextDelta, ToolFinished, ToolStarted
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall

KINDS = ("graph", "middleware")
TWO_CALLS = Reply(
    "Looking.",
    tool_calls=(ScriptedCall("shell", {"command": "printf one"}), ScriptedCall("shell", {"command": "printf two"})),
)
NOTICES: dict[str, list[str]] = {"graph": ["about to run: shell, shell"], "middleware": []}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, read_blocks: Callable[..., list[str]], install_backend: Any) -> str:
    """Installs one of the two and returns its name."""
    graph, with_graph, agent, with_agent = read_blocks("langgraph.md")
    modules = {
        "graph": {"my_graph": graph, "my_backend": with_graph},
        "middleware": {"my_agent": agent, "my_backend": with_agent},
    }
    install_backend(modules[request.param])
    return str(request.param)


async def test_a_turn_with_tools(kind: str, make_agent: Any, play: Any) -> None:
    with ScriptedServer([TWO_CALLS, Reply("Both.")]) as server:
        events = await play(make_agent(server))
    results = [event.result.text for event in events if isinstance(event, ToolFinished)]
    assert sorted(word for text in results for word in ("one", "two") if word in text) == ["one", "two"]
    assert [event.text for event in events if isinstance(event, Notice)] == NOTICES[kind]
    assert events[-1].reason == "answered"
    assert {message["role"] for message in server.requests[1].body["messages"]} >= {"assistant", "tool"}


async def test_failures_and_limits_pass_through_the_graph(kind: str, make_agent: Any, play: Any) -> None:
    with ScriptedServer([HttpError(503, "busy"), HttpError(401, "no")]) as server:
        events = await play(make_agent(server))
    assert sum(isinstance(event, Retrying) for event in events) == 1
    assert "rejected the key" in events[-1].error
    with ScriptedServer([TWO_CALLS], repeat_last=True) as server:
        events = await play(make_agent(server, max_steps=2))
    assert events[-1].reason == "limit"


async def test_stopping_ends_the_call_to_the_model_and_the_commands(kind: str, make_agent: Any) -> None:
    with ScriptedServer([Stall(2, Reply("It is there."))]) as server:
        async with make_agent(server) as agent:
            async for event in agent.run("Do it."):
                if isinstance(event, TextDelta):
                    break
        await asyncio.to_thread(server.wait_for_hangup)
    sleeping = Reply("", tool_calls=(ScriptedCall("shell", {"command": "sleep 600"}),))
    with ScriptedServer([sleeping]) as server:
        async with make_agent(server) as agent:
            async for event in agent.run("Do it."):
                if isinstance(event, ToolStarted):
                    break


@pytest.mark.parametrize("kind", ["middleware"], indirect=True)
async def test_the_middleware_stops_the_turn(kind: str, make_agent: Any, play: Any) -> None:
    steps = [Reply(tool_calls=(ScriptedCall("shell", {"command": f"echo {number}"}),)) for number in range(5)]
    with ScriptedServer(steps) as server:
        events = await play(make_agent(server))
        assert len(server.requests) == 5
    assert events[-1].error == "This agent asks the model at most five times."
