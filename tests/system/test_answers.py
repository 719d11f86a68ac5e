"""Answers without tools: streaming, usage, the request on the wire, and the history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vmpilot.contract import (
    AssistantMessage,
    ImagePart,
    MessageCompleted,
    TextDelta,
    TextPart,
    Usage,
    UsageError,
    UserMessage,
)
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.system.conftest import Machine

PIXEL = "data:image/png;base64,iVBORw0KGgo="


async def test_text_and_reasoning_are_streamed(machine: Machine) -> None:
    with ScriptedServer([Reply("Grüße, 世界 😀!\n", reasoning="I think first.")]) as server:
        seen = await machine.ask(server)
    assert [event.text for event in seen.of(TextDelta)] == ["Grüße, ", "世界 ", "😀!\n"]
    assert seen.reasoning == "I think first."
    assert seen.messages == [AssistantMessage("Grüße, 世界 😀!\n", reasoning="I think first.")]
    assert (seen.end.reason, seen.end.exit_code, seen.end.error) == ("answered", 0, None)
    assert (seen.started.backend, seen.started.model) == (machine.backend, "scripted")


async def test_an_unstreamed_answer_is_the_same_turn(machine: Machine) -> None:
    calls = (ScriptedCall("shell", {"command": "echo 42"}),)
    with ScriptedServer([Reply("I look.", reasoning="Hm.", tool_calls=calls), Reply("It is 42.")]) as server:
        seen = await machine.ask(server, streaming=False)
    assert [request.body["stream"] for request in server.requests] == [False, False]
    assert [event.text for event in seen.of(TextDelta)] == ["I look.", "It is 42."]
    assert (seen.reasoning, seen.results[0].text.split()[0]) == ("Hm.", "42")
    assert (seen.end.reason, seen.end.usage) == ("answered", Usage(input_tokens=200, output_tokens=40))


async def test_the_log_contains_the_emitted_events(machine: Machine) -> None:
    with ScriptedServer([Reply("Hello.")]) as server:
        seen = await machine.ask(server)
    assert machine.stored() == [event for event in seen.events if not isinstance(event, TextDelta)]


async def test_usage_of_all_calls_is_added_up(machine: Machine) -> None:
    usage = Usage(input_tokens=11, output_tokens=7, cached_tokens=3, reasoning_tokens=2)
    with ScriptedServer([Reply("One.", usage=usage), Reply("Two.", usage=None)]) as server:
        async with machine.agent(server) as agent:
            first = await machine.play(agent, "One?")
            second = await machine.play(agent, "Two?")
    assert [event.usage for event in first.of(MessageCompleted)] == [usage]
    assert first.end.usage == usage
    assert [event.usage for event in second.of(MessageCompleted)] == [None]
    assert second.end.usage == Usage()


async def test_settings_and_key_reach_the_wire(machine: Machine) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        await machine.ask(server, model="openai/some-model", temperature=0.25, max_tokens=321, seed=7)
    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer sk-system-0123456789abcdef"
    assert request.path == "/v1/chat/completions"
    body = request.body
    assert (body["model"], body["temperature"], body["seed"]) == ("some-model", 0.25, 7)
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 321
    assert body["stream"] is True
    names = [tool["function"]["name"] for tool in body["tools"]]
    files = ["read_file", "create_file", "edit_file", "find_files", "search_text"]
    assert [name for name in names if name in {"shell", "jobs", *files}] == ["shell", "jobs", *files]


async def test_an_unset_setting_is_left_to_the_provider(machine: Machine) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        await machine.ask(server)
    unset = {"temperature", "max_tokens", "max_completion_tokens", "seed", "reasoning_effort", "top_p", "n"}
    assert unset.isdisjoint(server.requests[0].body)


async def test_the_conversation_continues_from_turn_to_turn(machine: Machine) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        async with machine.agent(server) as agent:
            first = await machine.play(agent, "First?")
            second = await machine.play(agent, "Second?")
    assert first.started.conversation_id == second.started.conversation_id
    assert [(message["role"], message["content"]) for message in server.requests[1].messages[1:]] == [
        ("user", "First?"),
        ("assistant", "One."),
        ("user", "Second?"),
    ]


async def test_a_given_history_starts_a_separate_conversation(machine: Machine) -> None:
    history = [UserMessage.from_text("I am Ada."), AssistantMessage("Hello Ada.")]
    with ScriptedServer([Reply("Own."), Reply("Ada."), Reply("Nobody."), Reply("Still own.")]) as server:
        async with machine.agent(server) as agent:
            own = await machine.play(agent, "Mine.")
            other = await machine.play(agent, "Who am I?", history=history)
            empty = await machine.play(agent, "Who am I?", history=())
            await machine.play(agent, "Mine again.")
    contents = [[message["content"] for message in request.messages[1:]] for request in server.requests]
    assert contents[1] == ["I am Ada.", "Hello Ada.", "Who am I?"]
    assert contents[2] == ["Who am I?"]
    assert contents[3] == ["Mine.", "Own.", "Mine again."]
    assert len({turn.started.conversation_id for turn in (own, other, empty)}) == 3


async def test_instructions_follow_the_system_prompt(machine: Machine) -> None:
    with ScriptedServer([Reply("Arr."), Reply("Yes.")]) as server:
        async with machine.agent(server) as agent:
            await machine.play(agent, instructions="Speak like a pirate.")
            await machine.play(agent)
    first, second = (request.messages[0] for request in server.requests)
    assert first["role"] == "system"
    assert "already starts in the user's folder" in first["content"]
    assert first["content"] == second["content"] + "\n\nSpeak like a pirate."


async def test_images_reach_the_model(machine: Machine) -> None:
    message = UserMessage((TextPart("What is this?"), ImagePart(PIXEL, "low")))
    with ScriptedServer([Reply("A pixel.")]) as server:
        await machine.ask(server, message)
    assert server.requests[0].messages[1]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]


@pytest.mark.parametrize("request_", ["", "  \n", UserMessage(())])
async def test_an_empty_request_is_rejected_before_anything_is_recorded(
    machine: Machine, request_: str | UserMessage
) -> None:
    with ScriptedServer([]) as server:
        async with machine.agent(server) as agent:
            with pytest.raises(UsageError, match="empty"):
                await machine.play(agent, request_)
    assert not machine.database.exists()


async def test_characters_invalid_in_json_are_replaced_on_the_wire_and_kept_in_the_log(machine: Machine) -> None:
    with ScriptedServer([Reply("Fine.")]) as server:
        seen = await machine.ask(server, "half \ud83d and \0 nothing")
    assert server.requests[0].messages[1]["content"] == "half \ufffd and \ufffd nothing"
    assert seen.started.message.text == "half \ud83d and \0 nothing"
    assert machine.stored()[0] == seen.started


def test_two_calls_of_ask_continue_one_conversation(machine: Machine) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server, machine.agent(server) as agent:
        first, second = agent.ask("First?"), agent.ask("Second?")
    assert (first.text, second.text, first.reason) == ("One.", "Two.", "answered")
    assert first.conversation_id == second.conversation_id == agent.conversation_id
    assert [message["content"] for message in server.requests[1].messages[1:]] == ["First?", "One.", "Second?"]


async def test_two_conversations_of_one_agent_run_at_once(machine: Machine) -> None:
    replies = [Reply("Slow answer.", delay=0.3), Reply("Slow answer.", delay=0.3)]
    with ScriptedServer(replies) as server:
        async with machine.agent(server) as agent:
            turns = await asyncio.gather(machine.play(agent, "Ada", history=()), machine.play(agent, "Bob", history=()))
            arrived = [request.arrived_at for request in server.requests]
            finished = [request.finished_at for request in server.requests]
    assert max(arrived) < min(time for time in finished if time is not None)
    assert sorted(request.messages[-1]["content"] for request in server.requests) == ["Ada", "Bob"]
    assert [turn.end.reason for turn in turns] == ["answered", "answered"]
    for turn in turns:
        recorded = machine.stored(turn.started.conversation_id)
        assert recorded == [event for event in turn.events if not isinstance(event, TextDelta)] or len(recorded) == 4
