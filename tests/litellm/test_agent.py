"""The loop: its events, its requests to the model, its calls to the toolbox."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    MessageCompleted,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from vmpilot.testing import Framing, Raw, Reply, ScriptedCall, ScriptedServer
from vmpilot.testing.fakes import ScriptedToolbox
from vmpilot_backend_litellm import agent

if TYPE_CHECKING:
    from tests.litellm.conftest import TurnRunner

MODELS = ("openai/m", "hosted_vllm/m", "groq/m", "xai/m")
"""The openai client; LiteLLM's own client with OpenAI's format; renamed fields; LiteLLM's translation."""


@pytest.mark.parametrize("model", MODELS)
async def test_text_and_reasoning_are_streamed_and_completed(run_turn: TurnRunner, model: str) -> None:
    usage = Usage(input_tokens=11, output_tokens=7, cached_tokens=3)
    reply = Reply("Grüße, 世界 😀!", reasoning="First I think.", usage=usage)
    with ScriptedServer([reply]) as server:
        turn = await run_turn(server.base_url, model=model)
    assert turn.text == turn.answer.text == "Grüße, 世界 😀!"
    assert turn.reasoning == turn.answer.reasoning == "First I think."
    assert turn.completed == [MessageCompleted(turn.answer, usage)]
    assert turn.answer.finish == "stop"
    assert sum(isinstance(event, TextDelta) for event in turn.events) == 3


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_in_one_piece(run_turn: TurnRunner, model: str) -> None:
    usage = Usage(input_tokens=11, output_tokens=7, cached_tokens=3)
    calls = (
        ScriptedCall("shell", '{"command": "rm -rf /srv', id="a"),
        ScriptedCall("shell", {"command": "ls"}, id="b"),
    )
    script = [Reply("One moment.", reasoning="Hm.", tool_calls=calls, usage=usage), Reply("Done.", finish="length")]
    with ScriptedServer(script, strict=False) as server:
        turn = await run_turn(server.base_url, model=model, streaming=False)
    first, second = turn.completed
    assert (first.message.text, first.message.reasoning, first.usage) == ("One moment.", "Hm.", usage)
    assert [event.text for event in turn.events if isinstance(event, TextDelta)] == ["One moment.", "Done."]
    assert [call.arguments for call in turn.toolbox.calls] == [call.argument_text for call in calls]
    assert (second.message.text, second.message.finish) == ("Done.", "length")


@pytest.mark.parametrize(
    ("model", "stream"), [*((model, False) for model in MODELS), *((model, True) for model in MODELS[:3])]
)
async def test_stream_instead_of_json_and_json_instead_of_a_stream_are_read(
    run_turn: TurnRunner, model: str, stream: bool
) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    message = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
    body = json.dumps(message) if stream else f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    with ScriptedServer([Raw(text=body)]) as server:
        turn = await run_turn(server.base_url, model=model, streaming=stream)
    assert (turn.text, turn.answer.finish) == ("hi", "stop")


@pytest.mark.parametrize("model", MODELS)
async def test_usage_is_none_if_the_provider_reports_none(run_turn: TurnRunner, model: str) -> None:
    with ScriptedServer([Reply("hi", usage=None)]) as server:
        turn = await run_turn(server.base_url, model=model)
    assert turn.completed[0].usage is None


@pytest.mark.parametrize("model", MODELS)
async def test_parallel_calls_run_and_their_results_are_in_order(run_turn: TurnRunner, model: str) -> None:
    calls = (
        ScriptedCall("shell", {"command": "echo grüße 世界 😀"}, id="call_a"),
        ScriptedCall("shell", {"command": "ls"}, id="call_b"),
    )
    with ScriptedServer([Reply("One moment.", tool_calls=calls), Reply("Done.")]) as server:
        turn = await run_turn(
            server.base_url, model=model, toolbox=ScriptedToolbox(lambda call: f"result of {call.id}")
        )
    first, second = turn.completed
    assert first.message.finish == "tool_calls"
    assert [call.arguments for call in first.message.tool_calls] == [call.argument_text for call in calls]
    assert turn.toolbox.calls == list(first.message.tool_calls)
    assert second.message.text == "Done."
    assert [message["role"] for message in server.requests[1].messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert server.requests[1].messages[2]["content"] == "One moment."
    assert [message["content"] for message in server.requests[1].messages[3:]] == [
        "result of call_a",
        "result of call_b",
    ]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "arguments",
    ['{"command": "rm -rf /srv', "[1, 2]", '"text"', "null", "", "{}{}", '{"command": "\\ud83d"}', '{"a": 1, "a": 2}'],
)
async def test_broken_arguments_reach_the_toolbox_unchanged(run_turn: TurnRunner, model: str, arguments: str) -> None:
    call = ScriptedCall("shell", arguments, id="call_a")
    with ScriptedServer([Reply(tool_calls=(call,)), Reply("Sorry.")], strict=False) as server:
        turn = await run_turn(server.base_url, model=model)
    assert turn.toolbox.calls == [ToolCall("call_a", "shell", arguments)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("reason", "finish"), [("length", "length"), ("content_filter", "content_filter")])
async def test_improper_end_is_marked_and_the_loop_continues(
    run_turn: TurnRunner, model: str, reason: str, finish: str
) -> None:
    call = ScriptedCall("shell", {"command": "ls"}, id="call_a")
    with ScriptedServer([Reply(tool_calls=(call,), finish=reason), Reply("Done.")]) as server:
        turn = await run_turn(server.base_url, model=model)
    assert [event.message.finish for event in turn.completed] == [finish, "stop"]
    assert [call.id for call in turn.toolbox.refused] == ["call_a"]


async def test_refusal_is_text_with_a_finish_reason(run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply(refusal="I will not.")]) as server:
        turn = await run_turn(server.base_url)
    assert (turn.text, turn.answer.finish) == ("I will not.", "refusal")


async def test_many_equal_chunks_are_not_a_loop(run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply(chunks=("again ",) * 300)]) as server:
        turn = await run_turn(server.base_url, model="xai/m")
    assert turn.text == "again " * 300


@pytest.mark.parametrize("model", MODELS)
async def test_closing_the_turn_closes_the_connection(run_turn: TurnRunner, model: str) -> None:
    with ScriptedServer([Reply(chunks=("word ",) * 1000, gap=0.01)]) as server:
        request = run_turn.request(server.base_url, model=model)
        turn = run_turn.stream(request, ScriptedToolbox())
        assert isinstance(await anext(turn), TextDelta)
        await turn.aclose()
        await asyncio.to_thread(server.wait_for_hangup)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", MODELS)
async def test_canceling_the_turn_closes_the_connection(run_turn: TurnRunner, model: str, streaming: bool) -> None:
    with ScriptedServer([Reply("late", delay=60.0)]) as server:
        turn = asyncio.create_task(run_turn(server.base_url, model=model, streaming=streaming))
        await asyncio.to_thread(server.wait_for_requests, 1)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        await asyncio.to_thread(server.wait_for_hangup)


@pytest.mark.parametrize(
    "framing",
    [
        Framing(line_end="\r\n"),
        Framing(line_end="\r"),
        Framing(byte_order_mark=True),
        Framing(packet_bytes=1),
        Framing(packet_bytes=7, line_end="\r\n"),
        Framing(one_blob=True),
        Framing(done=False),
    ],
    ids=str,
)
async def test_every_framing_is_read(run_turn: TurnRunner, framing: Framing) -> None:
    call = ScriptedCall("shell", {"command": "grüße 世界 😀"}, id="call_a")
    with ScriptedServer([Reply("Größe 😀", tool_calls=(call,), framing=framing), Reply("ok")]) as server:
        turn = await run_turn(server.base_url)
    assert turn.completed[0].message.text == "Größe 😀"
    assert turn.toolbox.calls == [ToolCall("call_a", "shell", call.argument_text)]


def test_parse_tool_calls_reads_every_shape(litellm: Any) -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "shell", "arguments": '{"command": "l'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"id": "x", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    response = litellm.ModelResponse(**body)
    for shape in (body, message, response, response.choices[0].message):
        assert agent.parse_tool_calls(shape) == (ToolCall("call_a", "shell", '{"command": "l'),)
    old = {"role": "assistant", "content": None, "function_call": {"name": "shell", "arguments": "{}"}}
    assert agent.parse_tool_calls(old) == (ToolCall("", "shell", "{}"),)
    assert agent.parse_tool_calls({"role": "assistant", "content": "no calls"}) == ()


def test_importing_the_backend_imports_nothing_heavy() -> None:
    program = "import json, sys, vmpilot_backend_litellm.agent; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"litellm", "openai", "httpx", "pydantic"} & set(json.loads(output))


async def test_history_of_every_kind_is_sent(run_turn: TurnRunner) -> None:
    history = (
        UserMessage.from_text("list"),
        AssistantMessage(tool_calls=(ToolCall("call_a", "shell", '{"command":"ls"}'),), finish="tool_calls"),
        ToolResult("call_a", "shell", "a.txt"),
        AssistantMessage("There is a.txt."),
        UserMessage.from_text("thanks"),
    )
    with ScriptedServer([Reply("welcome")]) as server:
        await run_turn(server.base_url, messages=history)
    assert server.requests[0].messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "list"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "shell", "arguments": '{"command":"ls"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "a.txt"},
        {"role": "assistant", "content": "There is a.txt."},
        {"role": "user", "content": "thanks"},
    ]


def test_backend_describes_itself() -> None:
    info = agent.describe_backend()
    assert (info.name, info.contract_version) == ("litellm", 1)
    assert {"streaming", "tools", "cancel"} <= info.capabilities
