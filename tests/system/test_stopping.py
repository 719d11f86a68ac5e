"""Stopping: the connection is closed, the command ended, and the history stays valid."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from vmpilot.contract import Event, ReasoningDelta, TextDelta, ToolCallDelta, ToolOutput, TurnEnded, TurnStarted
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer, Stall, Step

if TYPE_CHECKING:
    from tests.system.conftest import Machine

WaitFor: TypeAlias = Callable[[AsyncGenerator[Event, None], type[Any]], Awaitable[Any]]

RUNS_LONG = Reply("I wait.", tool_calls=(ScriptedCall("shell", {"command": "echo begun; sleep 60 & sleep 60"}),))
IN_MID_STREAM = [
    pytest.param(Stall(after=3, reply=Reply("This goes on for long.")), TextDelta, "This goes ", id="text"),
    pytest.param(Stall(after=3, reply=Reply("x", reasoning="I think for long.")), ReasoningDelta, "", id="reasoning"),
    pytest.param(
        Stall(after=3, reply=Reply(tool_calls=(ScriptedCall("shell", {"command": "touch half"}),))),
        ToolCallDelta,
        "",
        id="tool call",
    ),
    pytest.param(Stall(after="headers"), TurnStarted, "", id="before the first content"),
    pytest.param(Stall(after="request"), TurnStarted, "", id="before the headers"),
]


async def rest_of(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with asyncio.timeout(10):
        return [event async for event in events]


@pytest.mark.parametrize(("stall", "kind", "said"), IN_MID_STREAM)
async def test_stopping_during_a_stream_disconnects_and_keeps_the_text(
    machine: Machine, wait_for: WaitFor, stall: Step, kind: type[Any], said: str
) -> None:
    with ScriptedServer([stall, Reply("Fresh.")]) as server:
        async with machine.agent(server) as agent:
            events = agent.run("First.")
            await wait_for(events, kind)
            await asyncio.to_thread(server.wait_for_requests, 1)
            assert agent.stop()
            end = (await rest_of(events))[-1]
            await asyncio.to_thread(server.wait_for_hangup)
            assert not agent.stop()
            again = await machine.play(agent, "Second.")
    assert isinstance(end, TurnEnded)
    assert (end.reason, end.exit_code, end.error) == ("interrupted", 130, None)
    history = [(message["role"], message["content"]) for message in server.requests[1].messages[1:]]
    assert history[0] == ("user", "First.")
    assert history[1][1].startswith(said or "(This turn ended without an answer.)")
    assert history[2] == ("user", "Second.")
    assert again.messages[-1].text == "Fresh."


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("after", ["request", "headers", 2])
async def test_the_server_sees_the_disconnect_soon_after_the_stop(
    machine: Machine, streaming: bool, after: Any
) -> None:
    with ScriptedServer([Stall(after=after)]) as server:
        async with machine.agent(server, streaming=streaming) as agent:
            events = agent.run("First.")
            assert isinstance(await anext(events), TurnStarted)
            rest = asyncio.create_task(rest_of(events))
            await asyncio.to_thread(server.wait_for_requests, 1)
            agent.stop()
            await asyncio.to_thread(server.wait_for_hangup)
            end = (await rest)[-1]
    assert isinstance(end, TurnEnded)
    assert end.reason == "interrupted"


async def test_stopping_while_connecting(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        async with machine.agent(f"http://127.0.0.1:{full.getsockname()[1]}/v1") as agent:
            events = agent.run("First.")
            assert isinstance(await anext(events), TurnStarted)
            rest = asyncio.create_task(rest_of(events))
            await asyncio.to_thread(connections_to, full.getsockname()[1], len(clients) + 1)
            agent.stop()
            end = (await rest)[-1]
        for client in clients:
            client.close()
    assert isinstance(end, TurnEnded)
    assert end.reason == "interrupted"


def connections_to(port: int, count: int) -> None:
    """Wait until this many sockets have started to connect to the port."""
    for _ in range(1000):
        lines = Path("/proc/net/tcp").read_text().splitlines()
        if sum(line.split()[2].endswith(f":{port:04X}") for line in lines) >= count:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{count} connections to port {port}")


async def test_stopping_during_a_command_ends_it_and_informs_the_model(machine: Machine, wait_for: WaitFor) -> None:
    with ScriptedServer([RUNS_LONG, Reply("I see.")]) as server:
        async with machine.agent(server) as agent:
            events = agent.run("First.")
            await wait_for(events, ToolOutput)
            agent.stop()
            agent.stop()
            end = (await rest_of(events))[-1]
            assert machine.survivors() == []
            await machine.play(agent, "Second.")
    assert isinstance(end, TurnEnded)
    assert end.reason == "interrupted"
    roles = [message["role"] for message in server.requests[1].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert "may have had partial effects" in server.requests[1].messages[3]["content"]


async def test_closing_the_iterator_ends_command_and_turn(machine: Machine, wait_for: WaitFor) -> None:
    with ScriptedServer([RUNS_LONG, Reply("I see.")]) as server:
        async with machine.agent(server) as agent:
            async with aclosing(agent.run("First.")) as events:
                await wait_for(events, ToolOutput)
            assert machine.survivors() == []
            recorded = machine.stored()
            await machine.play(agent, "Second.")
    assert isinstance(recorded[-1], TurnEnded)
    assert recorded[-1].reason == "interrupted"
    assert "may have had partial effects" in server.requests[1].messages[3]["content"]


async def test_closing_the_iterator_during_a_stream_disconnects(machine: Machine, wait_for: WaitFor) -> None:
    with ScriptedServer([Stall(after=3)]) as server:
        async with machine.agent(server) as agent:
            async with aclosing(agent.run("First.")) as events:
                await wait_for(events, TextDelta)
            await asyncio.to_thread(server.wait_for_hangup)


async def test_a_canceled_caller_leaves_nothing_running(machine: Machine, wait_for: WaitFor) -> None:
    async with asyncio.timeout(20):
        with ScriptedServer([RUNS_LONG]) as server:
            async with machine.agent(server) as agent:
                begun = asyncio.Event()

                async def play() -> None:
                    async for event in agent.run("First."):
                        if isinstance(event, ToolOutput):
                            begun.set()

                caller = asyncio.create_task(play())
                await begun.wait()
                caller.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await caller
                # The event loop closes the generator that the caller abandoned.
                await agent.wait()
                assert machine.survivors() == []


async def test_closing_the_agent_interrupts_its_turns(machine: Machine, wait_for: WaitFor) -> None:
    with ScriptedServer([RUNS_LONG, Stall(after=3)]) as server:
        async with machine.agent(server) as agent:
            running = agent.run("One.", history=())
            await wait_for(running, ToolOutput)
            streaming = agent.run("Two.")
            await wait_for(streaming, TextDelta)
        assert machine.survivors() == []
        ends = [(await rest_of(events))[-1] for events in (running, streaming)]
    assert [end.reason for end in ends if isinstance(end, TurnEnded)] == ["interrupted"] * 2


async def test_a_stop_at_the_start_of_a_turn_ends_it_normally(machine: Machine) -> None:
    with ScriptedServer([]) as server:
        async with machine.agent(server) as agent:
            events = agent.run("First.")
            assert isinstance(await anext(events), TurnStarted)
            agent.stop()
            assert isinstance((await rest_of(events))[-1], TurnEnded)
