from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    GenerationRequest,
    MessageCompleted,
    ModelSettings,
    Secret,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from vmpilot.testing import Framing, Raw, Reply, ScriptedCall, ScriptedServer

RequestMaker = Callable[..., GenerationRequest]
TurnRunner = Callable[..., Awaitable[list[BackendEvent]]]


async def ask(server: ScriptedServer, make_request: RequestMaker, run_turn: TurnRunner) -> MessageCompleted:
    """The first completed message of a turn."""
    events = await run_turn(make_request(server))
    return next(event for event in events if isinstance(event, MessageCompleted))


async def test_settings_are_sent(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        settings = ModelSettings(
            temperature=0.0,
            max_tokens=77,
            reasoning_effort="low",
            seed=5,
            base_url=server.base_url,
            api_key=Secret("sk-of-the-user"),
        )
        await run_turn(make_request(server, settings=settings, model="Qwen/Qwen3-8B"))
    (request,) = server.requests
    wanted = {"model": "Qwen/Qwen3-8B", "temperature": 0.0, "max_tokens": 77, "reasoning_effort": "low", "seed": 5}
    assert {name: request.body.get(name) for name in wanted} == wanted
    assert "max_completion_tokens" not in request.body
    assert request.headers["authorization"] == "Bearer sk-of-the-user"


async def test_unset_settings_are_not_sent(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        await run_turn(make_request(server, tools=(), system=""))
    assert set(server.requests[0].body) == {"model", "stream", "stream_options", "messages"}
    assert [message["role"] for message in server.requests[0].messages] == ["user"]


async def test_rejected_parameters_are_omitted(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    omitted = ("stream_options", "temperature", "seed", "max_tokens", "reasoning_effort")
    with ScriptedServer([Reply("Yes.")]) as server:
        settings = ModelSettings(
            temperature=0.5, max_tokens=9, seed=7, reasoning_effort="low", base_url=server.base_url, omitted=omitted
        )
        await run_turn(make_request(server, settings=settings, tools=()))
    body = server.requests[0].body
    assert set(body) == {"model", "messages", "stream", "max_completion_tokens"}
    assert (body["stream"], body["max_completion_tokens"]) == (True, 9)


@pytest.mark.parametrize(
    ("settings", "asked"), [(ModelSettings(streaming=False), False), (ModelSettings(omitted=("stream",)), None)]
)
async def test_answer_in_one_piece_is_requested(
    settings: ModelSettings, asked: bool | None, make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    calls = (ScriptedCall("shell", '{"command": "rm -rf /srv', id="a"),)
    with ScriptedServer([Reply("Looking.", tool_calls=calls), Reply("Done.")], strict=False) as server:
        here = msgspec.structs.replace(settings, base_url=server.base_url)
        events = await run_turn(make_request(server, settings=here))
    assert [request.body.get("stream") for request in server.requests] == [asked, asked]
    assert "stream_options" not in server.requests[0].body
    messages = [event.message for event in events if isinstance(event, MessageCompleted)]
    assert [message.text for message in messages] == ["Looking.", "Done."]
    assert messages[0].tool_calls == (ToolCall("a", "shell", '{"command": "rm -rf /srv'),)


async def test_stream_instead_of_json_is_read(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    with ScriptedServer([Raw(text=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n")]) as server:
        settings = ModelSettings(base_url=server.base_url, streaming=False)
        events = await run_turn(make_request(server, settings=settings))
    assert events == [TextDelta("hi"), MessageCompleted(AssistantMessage("hi"))]


async def test_openai_settings_are_not_sent_to_another_server(
    make_request: RequestMaker, run_turn: TurnRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "LANGSMITH_API_KEY"):
        monkeypatch.setenv(name, "private-" + name)
    with ScriptedServer([Reply("Yes.")]) as server:
        await run_turn(make_request(server))
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer none"
    assert not [name for name, value in headers.items() if "private" in value]


async def test_openai_gets_its_key_and_its_name_for_the_limit(
    make_request: RequestMaker, run_turn: TurnRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        await run_turn(make_request(model="gpt-4o", settings=ModelSettings(max_tokens=9)))
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer sk-own"
    assert request.body["model"] == "gpt-4o"


async def test_provider_metadata_is_sent_back_only_to_its_provider(
    make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    data = {"reasoning_content": "List them.", "tool_calls": [{"extra_content": {"a": 1}}]}
    calls = (ToolCall("a", "shell", "{}"),)
    history = (
        UserMessage.from_text("Which files?"),
        AssistantMessage("", "", calls, finish="tool_calls", provider="deepseek", provider_data=data),
        ToolResult("a", "shell", "none"),
        AssistantMessage("None.", reasoning="Tell them."),
        UserMessage.from_text("Thanks."),
    )
    with ScriptedServer([Reply("Yes."), Reply("Yes.")]) as server:
        await run_turn(make_request(server, messages=history, model="deepseek/deepseek-chat"))
        await run_turn(make_request(server, messages=history))
    told = [[message.get("reasoning_content") for message in request.messages] for request in server.requests]
    assert told == [[None, None, "List them.", None, None, None], [None] * 6]
    assert [request.messages[2]["tool_calls"][0].get("extra_content") for request in server.requests] == [
        {"a": 1},
        None,
    ]


async def test_usage(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    usage = Usage(input_tokens=1000, output_tokens=200, cached_tokens=600, reasoning_tokens=50)
    with ScriptedServer([Reply("Yes.", usage=usage), Reply("No.", usage=None)]) as server:
        assert (await ask(server, make_request, run_turn)).usage == usage
        assert (await ask(server, make_request, run_turn)).usage is None


@pytest.mark.parametrize(
    "framing",
    [
        Framing(line_end="\r\n"),
        Framing(line_end="\r"),
        Framing(byte_order_mark=True),
        Framing(packet_bytes=1),
        Framing(packet_bytes=7),
        Framing(one_blob=True),
        Framing(done=False),
    ],
    ids=str,
)
async def test_every_framing_is_read(framing: Framing, make_request: RequestMaker, run_turn: TurnRunner) -> None:
    calls = (ScriptedCall("shell", '{"command": "echo ü🎉"}', id="a", chunks=9),)
    with ScriptedServer([Reply("Grüße 🎉", tool_calls=calls, framing=framing), Reply("Done.")]) as server:
        message = (await ask(server, make_request, run_turn)).message
    assert message == AssistantMessage(
        "Grüße 🎉", tool_calls=(ToolCall("a", "shell", '{"command": "echo ü🎉"}'),), finish="tool_calls"
    )


async def test_answer_without_streaming(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    answer = {
        "choices": [{"message": {"role": "assistant", "content": "All at once."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    with ScriptedServer([Raw(text=json.dumps(answer))]) as server:
        events = await run_turn(make_request(server))
    assert events == [
        TextDelta("All at once."),
        MessageCompleted(AssistantMessage("All at once."), Usage(input_tokens=3, output_tokens=4)),
    ]


async def test_calls_without_an_index(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    calls = (ScriptedCall("shell", "{}", id="a", index=None), ScriptedCall("shell", '{"b": 1}', id="b", index=None))
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")], strict=False) as server:
        message = (await ask(server, make_request, run_turn)).message
    assert message.tool_calls == (ToolCall("a", "shell", "{}"), ToolCall("b", "shell", '{"b": 1}'))


async def test_one_connection_serves_all_calls_of_a_turn(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    calls = (ScriptedCall("shell", {"command": "ls"}),)
    with ScriptedServer([Reply(tool_calls=calls), Reply(tool_calls=calls), Reply("Done.")]) as server:
        relay = Relay(int(server.base_url.removesuffix("/v1").rpartition(":")[2]))
        listener = await asyncio.start_server(relay.connect, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        await run_turn(make_request(settings=ModelSettings(base_url=f"http://127.0.0.1:{port}/v1")))
        listener.close()
        await asyncio.gather(*relay.connections)
    assert len(server.requests) == 3
    assert len(relay.connections) == 1


class Relay:
    """Forwards bytes to the scripted server and counts the connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.connections: list[asyncio.Future[None]] = []

    def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.ensure_future(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()
