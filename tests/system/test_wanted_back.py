"""Metadata that providers want back with calls and answers survives every step of a conversation."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import HistoryCompacted, Notice
from vmpilot.testing import HttpError, Raw, RecordedRequest, Reply, ScriptedCall, ScriptedServer, Step
from vmpilot.testing.answers import wants_stream

if TYPE_CHECKING:
    from tests.system.conftest import Machine

OTHER = {"litellm": "langchain", "langchain": "litellm"}
EXTRA = {"google": {"thought_signature": "c2lnbmVk"}}
ECHO = {"name": "shell", "arguments": '{"command": "echo once >> runs"}'}
MISTRAL = "mistral/mistral-large-latest"
LONG = "call_" + "a" * 60


def signed_call(request: RecordedRequest) -> Step:
    """A call with Google's signature, in the requested form."""
    call = {"index": 0, "id": "function-call-1", "type": "function", "function": ECHO, "extra_content": EXTRA}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    if not wants_stream(request.body):
        return Raw(text=json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}))
    choices = [{"delta": message}, {"delta": {}, "finish_reason": "tool_calls"}]
    lines = [f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices]
    return Raw(text="".join(lines) + "data: [DONE]\n\n", content_type="text/event-stream")


def run(command: str) -> Reply:
    return Reply(tool_calls=(ScriptedCall("shell", {"command": command}),))


def extras(request: RecordedRequest) -> list[Any]:
    return [call.get("extra_content") for message in request.messages for call in message.get("tool_calls") or ()]


def sent_ids(request: RecordedRequest) -> list[tuple[str, str]]:
    """Each call's id with its result's."""
    calls = [call["id"] for message in request.messages for call in message.get("tool_calls") or ()]
    results = [message["tool_call_id"] for message in request.messages if message["role"] == "tool"]
    return list(zip(calls, results, strict=True))


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_signature_in_the_log_is_sent_back_on_either_backend(machine: Machine, streaming: bool) -> None:
    with ScriptedServer([signed_call, Reply("One."), Reply("Two."), Reply("Three."), Reply("Four.")]) as server:
        first = await machine.ask(server, streaming=streaming)
        conversation = first.started.conversation_id
        await machine.ask(server, "And?", conversation=conversation)
        await machine.ask(server, "And?", conversation=conversation, backend=OTHER[machine.backend])
        await machine.ask(server, "And?", conversation=conversation, model="openrouter/other")
    assert [extras(request) for request in server.requests] == [[], [EXTRA], [EXTRA], [EXTRA], [None]]
    assert (machine.folder / "runs").read_text() == "once\n"


async def test_a_signature_survives_the_shortening_of_outputs(machine: Machine) -> None:
    overflow = HttpError(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")

    def model(request: RecordedRequest) -> Step:
        """Requests a long output three times, and has no room for all of it."""
        if len(json.dumps(request.messages[1:])) > 20_000:
            return overflow
        calls = len(extras(request))
        command = f"seq {calls}0000 {calls}1300"
        return signed_call(request) if not calls else Reply("Done.") if calls > 3 else run(command)

    with ScriptedServer([model], repeat_last=True) as server:
        async with machine.agent(server) as agent:
            first, second = await machine.play(agent), await machine.play(agent, "And?")
    assert [event.output_limit > 0 for event in first.of(HistoryCompacted)] == [True]
    assert (first.text, second.text) == ("Done.", "Done.")
    assert [extras(request) for request in server.requests[-2:]] == [[EXTRA, None, None, None]] * 2


async def test_a_signature_is_omitted_with_text_tools_and_sent_again_with_native_tools(machine: Machine) -> None:
    with ScriptedServer([signed_call, Reply("One."), Reply("Two."), Reply("Three.")]) as server:
        conversation = (await machine.ask(server)).started.conversation_id
        await machine.ask(server, "And?", conversation=conversation, tool_mode="text")
        await machine.ask(server, "And?", conversation=conversation)
    assert [extras(request) for request in server.requests] == [[], [EXTRA], [], [EXTRA]]
    assert "c2lnbmVk" not in repr(server.requests[2].body)


async def test_a_fallback_gets_no_signature_and_its_own_ids(machine: Machine) -> None:
    with ScriptedServer([signed_call, HttpError(401, "No."), Reply("Fine."), Reply("Yes.")]) as server:
        seen = await machine.ask(server, fallback=[MISTRAL])
        await machine.ask(server, "And?", conversation=seen.started.conversation_id)
    ((sent, answered),) = sent_ids(server.requests[2])
    assert sent == answered
    assert re.fullmatch("[A-Za-z0-9]{9}", sent)
    assert extras(server.requests[2]) == [None]
    assert (seen.text, [result.call_id for result in seen.results]) == ("Fine.", ["function-call-1"])
    assert (extras(server.requests[3]), sent_ids(server.requests[3])) == ([EXTRA], [("function-call-1",) * 2])


async def test_ids_are_translated_for_each_target_and_stored_unchanged(machine: Machine) -> None:
    calls = tuple(ScriptedCall("shell", {"command": f"echo {at}"}, id=id_) for at, id_ in enumerate([LONG, "a.b:0"]))
    native = ScriptedCall("shell", {"command": "echo mistral"}, id="AbCdEfGh1")
    script = [Reply(tool_calls=calls), Reply("1"), Reply(tool_calls=(native,)), Reply("2"), Reply("3"), Reply("4")]
    with ScriptedServer(script) as server:
        conversation = (await machine.ask(server)).started.conversation_id
        await machine.ask(server, "And?", conversation=conversation, model=MISTRAL)
        await machine.ask(server, "And?", conversation=conversation, model=MISTRAL, backend=OTHER[machine.backend])
        await machine.ask(server, "And?", conversation=conversation)
    given, *later = (sent_ids(request) for request in server.requests[1:])
    assert given == [(LONG, LONG), ("a.b:0", "a.b:0")]
    first, second, third, last = later
    assert all(sent == answered and re.fullmatch("[A-Za-z0-9]{9}", sent) for sent, answered in third)
    assert first == second[:2] == third[:2]
    assert second == third == [*first, ("AbCdEfGh1", "AbCdEfGh1")]
    assert last == [*given, ("AbCdEfGh1", "AbCdEfGh1")]


async def test_the_requirements_of_a_server_are_learned_once(machine: Machine) -> None:
    def choosy(request: RecordedRequest) -> Step:
        answers = [message for message in request.messages if message["role"] == "assistant"]
        if request.messages[0]["role"] == "system":
            return HttpError(400, "System role not supported")
        if any("reasoning_content" not in message for message in answers):
            return HttpError(400, "The `reasoning_content` in the thinking mode must be passed back to the API.")
        if any(len(call["id"]) != 9 for message in answers for call in message.get("tool_calls") or ()):
            return HttpError(400, "Tool call id was x but must be a-z, A-Z, 0-9, with a length of 9.")
        step = Reply(reasoning="Hm.", tool_calls=(ScriptedCall("shell", {"command": "echo once >> runs"}),))
        return Reply("Done.", reasoning="So.") if answers else step

    with ScriptedServer([choosy], repeat_last=True) as server:
        async with machine.agent(server) as agent:
            first, second = await machine.play(agent), await machine.play(agent, "And?")
    assert (first.text, second.text, len(server.requests)) == ("Done.", "Done.", 6)
    told = [event.text for seen in (first, second) for event in seen.of(Notice)]
    assert told == ["scripted does not accept a system prompt, so it is sent with the first message."]
    assert (machine.folder / "runs").read_text() == "once\n"
    assert "VMPilot" in str(server.requests[-1].messages[0]["content"])


async def test_deepseek_gets_the_reasoning_of_every_answer(machine: Machine) -> None:
    script = [Reply("One.", reasoning="Hm."), Reply("Two."), Reply("Three.")]
    with ScriptedServer(script) as server:
        async with machine.agent(server, model="deepseek/deepseek-chat") as agent:
            for request in ("A?", "B?", "C?"):
                await machine.play(agent, request)
    sent = [
        message.get("reasoning_content") for message in server.requests[-1].messages if message["role"] == "assistant"
    ]
    assert sent == ["Hm.", ""]
    assert len(server.requests) == 3
