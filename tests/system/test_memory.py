"""A continued conversation keeps its backend, model and mode. The same on both backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmpilot import Agent
from vmpilot.contract import Event, Notice, TurnStarted, UsageError
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.system.conftest import Machine

OTHER = {"litellm": "langchain", "langchain": "litellm"}


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


async def resume(machine: Machine, conversation: str, **settings: Any) -> tuple[TurnStarted, list[str]]:
    """One more turn of the conversation, by a new agent with only these settings."""
    agent = Agent(folder=machine.folder, environment=machine.environment, conversation=conversation, **settings)
    async with agent:
        seen = await machine.play(agent, "And?")
    return seen.started, notices(seen.events)


async def test_it_continues_with_its_backend_and_model(machine: Machine) -> None:
    with ScriptedServer([Reply("One."), Reply("Two."), Reply("Three."), Reply("Four.")]) as server:
        place = {"base_url": server.base_url, "api_key": "k"}
        first = await machine.ask(server, "Hello", model="openai/first", mode="operate")
        conversation = first.started.conversation_id
        started, said = await resume(machine, conversation, **place)
        assert (started.backend, said) == (machine.backend, [])
        started, said = await resume(machine, conversation, **place, model="openai/second")
        assert said == ["Continuing with model openai/second instead of openai/first."]
        started, said = await resume(machine, conversation, **place, backend=OTHER[machine.backend])
        assert started.backend == OTHER[machine.backend]
        assert said == [f"Continuing with backend {started.backend} instead of {machine.backend}."]
        assert [request.body["model"] for request in server.requests] == ["first", "first", "second", "second"]


async def test_without_its_base_url_nothing_is_sent(machine: Machine) -> None:
    with ScriptedServer([Reply("One.")]) as server:
        first = await machine.ask(server, "Hello", model="openai/first", mode="operate")
        with pytest.raises(UsageError, match=f"openai/first at {server.base_url}, and base URLs are not remembered"):
            await resume(machine, first.started.conversation_id, api_key="k")
        assert len(server.requests) == 1


async def test_mode_full_is_not_restored_but_observe_is(machine: Machine) -> None:
    touch = Reply(tool_calls=(ScriptedCall("shell", {"command": "touch made"}),))
    with ScriptedServer([Reply("One."), Reply("Two."), Reply("Three."), touch, Reply("No.")]) as server:
        place = {"base_url": server.base_url, "api_key": "k", "model": "scripted"}
        wide = (await machine.ask(server, "Hello", mode="full")).started.conversation_id
        started, said = await resume(machine, wide, **place)
        assert started.terms is not None
        assert started.terms.mode == "operate"
        assert "Continuing with mode operate instead of full (to switch back: --mode full)." in said
        narrow = (await machine.ask(server, "Hello", mode="observe")).started.conversation_id
        started, said = await resume(machine, narrow, **place)
        assert started.terms is not None
        assert started.terms.mode == "observe"
        assert not (machine.folder / "made").exists()
