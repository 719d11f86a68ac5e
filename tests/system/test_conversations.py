"""Conversations across backends, agents and processes; the log determines the request."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import Event, ImagePart, TextDelta, TextPart, TurnEnded, UsageError, UserMessage
from vmpilot.testing import Raw, Reply, ScriptedCall, ScriptedServer, Stall

if TYPE_CHECKING:
    from tests.system.conftest import Machine

WaitFor = Callable[[AsyncGenerator[Event, None], type[Any]], Awaitable[Any]]
OTHER = {"litellm": "langchain", "langchain": "litellm"}
HIDDEN = [{"type": "reasoning.encrypted", "data": "c2VjcmV0", "id": "r1", "format": "x", "index": 0}]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages without intended differences: arguments are parsed, so that their formatting is ignored."""
    kept = []
    for message in messages:
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ]
        names = ("role", "content", "tool_call_id")
        kept.append({name: message[name] for name in names if message.get(name)} | {"calls": calls})
    return kept


async def test_a_conversation_continues_on_the_other_backend(machine: Machine) -> None:
    calls = (
        ScriptedCall("shell", {"command": "echo grüße"}, id="call_a"),
        ScriptedCall("nothing", '{"broken', id="call_b"),
    )
    opening = UserMessage((TextPart("What is this?"), ImagePart(PIXEL, "low")))
    with ScriptedServer(
        [Reply("I look.", reasoning="Hm.", tool_calls=calls), Reply("A pixel."), Reply("Two.")]
    ) as server:
        first = await machine.ask(server, opening)
        conversation = first.started.conversation_id
        async with machine.agent(server, conversation=conversation) as same:
            await machine.play(same, "And now?")
    with ScriptedServer([Reply("Three.")]) as other_server:
        async with machine.agent(other_server, backend=OTHER[machine.backend], conversation=conversation) as other:
            second = await machine.play(other, "And on the other?")
    assert second.started.backend == OTHER[machine.backend]
    before = server.requests[2].messages
    after = other_server.requests[0].messages
    assert plain(after[: len(before)]) == plain(before)
    assert plain(after[len(before) :]) == [
        {"role": "assistant", "content": "Two.", "calls": []},
        {"role": "user", "content": "And on the other?", "calls": []},
    ]
    assert before[1]["content"][1]["image_url"] == {"url": PIXEL, "detail": "low"}
    assert "grüße" in before[3]["content"]
    assert "unknown tool" in before[4]["content"]


def signed_answer() -> Raw:
    """A streamed answer with hidden reasoning in OpenRouter's form."""
    choices = [{"delta": {"role": "assistant", "reasoning_details": HIDDEN}}, {"delta": {"content": "One."}}]
    choices.append({"delta": {}, "finish_reason": "stop"})
    lines = [json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [one]}) for one in choices]
    return Raw(text="".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]), content_type="text/event-stream")


async def test_hidden_reasoning_is_sent_back_to_its_provider_on_either_backend(machine: Machine) -> None:
    with ScriptedServer([signed_answer(), Reply("Two."), Reply("Three."), Reply("Four.")], strict=False) as server:
        first = await machine.ask(server, "One?", model="openrouter/scripted")
        conversation = first.started.conversation_id
        for backend, model in (
            (OTHER[machine.backend], "openrouter/scripted"),
            (OTHER[machine.backend], "openai/scripted"),
            (machine.backend, "openrouter/scripted"),
        ):
            await machine.ask(server, "And?", model=model, backend=backend, conversation=conversation)
    assert first.messages[0].provider_data == {"reasoning_details": HIDDEN}
    sent = [request.messages[2] for request in server.requests[1:]]
    assert [message["content"] for message in sent] == ["One."] * 3
    assert [message.get("reasoning_details") for message in sent] == [HIDDEN, None, HIDDEN]


async def test_unencodable_characters_pass_between_the_backends(machine: Machine) -> None:
    strange = "half \ud83d, nul \0, end"
    call = ScriptedCall("shell", {"command": r"printf 'nul \0, latin \xe4'; head -c 300000 /dev/zero | tr '\0' x"})
    with ScriptedServer([Reply("I look \0.", tool_calls=(call,)), Reply("One."), Reply("Two.")]) as server:
        first = await machine.ask(server, strange)
        conversation = first.started.conversation_id
        await machine.ask(server, "And?", backend=OTHER[machine.backend], conversation=conversation)
    assert first.started.message.text == strange
    assert "nul \ufffd, latin \ufffd" in first.results[0].text
    before, after = server.requests[1].messages, server.requests[2].messages
    assert plain(after[: len(before)]) == plain(before)
    assert after[1]["content"] == "half \ufffd, nul \ufffd, end"


async def test_a_second_writer_of_a_conversation_gets_an_error(machine: Machine, wait_for: WaitFor) -> None:
    with ScriptedServer([Reply("One."), Stall(after=3), Reply("Three.")]) as server:
        async with machine.agent(server) as agent:
            await machine.play(agent)
            conversation = agent.conversation_id
            async with aclosing(agent.run("Two?")) as events:
                await wait_for(events, TextDelta)
                async with machine.agent(server, conversation=conversation) as second:
                    with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
                        await machine.play(second)
                with pytest.raises(UsageError, match="already has a running turn"):
                    await machine.play(agent)
                with pytest.raises(UsageError, match="already has a running turn"):
                    await machine.play(agent, conversation=conversation)
        async with machine.agent(server, conversation=conversation) as second:
            await machine.play(second)
    assert len(server.requests) == 3


async def test_two_first_turns_at_once_do_not_share_a_conversation_by_accident(machine: Machine) -> None:
    with ScriptedServer([Reply("One.")]) as server:
        async with machine.agent(server) as agent:
            outcomes = await asyncio.gather(
                machine.play(agent, "One?"), machine.play(agent, "Two?"), return_exceptions=True
            )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Seen", "UsageError"]


async def test_leaving_the_loop_at_the_end_of_a_turn_does_not_block_the_next(machine: Machine) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        async with machine.agent(server) as agent:
            events = agent.run("One?")
            async for event in events:
                if isinstance(event, TurnEnded):
                    break
            await machine.play(agent, "Two?")
    assert [message["content"] for message in server.requests[1].messages[1:]] == ["One?", "One.", "Two?"]


async def test_the_current_conversation_of_an_agent_can_be_named(machine: Machine) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        async with machine.agent(server) as agent:
            await machine.play(agent, "One?")
            await machine.play(agent, "Two?", conversation=agent.conversation_id)
    assert [message["content"] for message in server.requests[1].messages[1:]] == ["One?", "One.", "Two?"]


@pytest.mark.parametrize("backend", ["langchain"])
async def test_after_kill_9_during_a_command_it_ends_and_the_history_is_valid_and_says_so(machine: Machine) -> None:
    slow = Reply("I wait.", tool_calls=(ScriptedCall("shell", {"command": "sleep 300 & setsid sleep 300"}),))
    with ScriptedServer([slow, Reply("I see.")]) as server:
        await asyncio.to_thread(kill_in_mid_command, machine, server)
        give_up = time.monotonic() + 15
        while machine.survivors():
            assert time.monotonic() < give_up, machine.survivors()
            await asyncio.sleep(0.01)
        async with machine.agent(server) as agent:
            await agent.resume_latest()
            await machine.play(agent, "Second.")
    roles = [message["role"] for message in server.requests[1].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert "may have had partial effects" in server.requests[1].messages[3]["content"]


def kill_in_mid_command(machine: Machine, server: ScriptedServer) -> None:
    """Run the program until its command has started, and kill it."""
    environment = {
        **machine.environment.variables,
        "VMPILOT_DATA_DIR": str(machine.home / "data"),
        "VMPILOT_CONFIG_DIR": str(machine.home / "config"),
        "VMPILOT_API_KEY": "sk-system-0123456789abcdef",
    }
    options = ["--backend", machine.backend, "--base-url", server.base_url, "--model", "m", "--mode", "full"]
    program = subprocess.Popen(
        [sys.executable, "-m", "vmpilot", *options, "--output", "jsonl", "First."],
        cwd=machine.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    with program.stdout as lines:
        assert any('"tool_started"' in line for line in lines)
        program.kill()
        program.wait()
