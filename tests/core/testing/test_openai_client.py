"""The scripted server used by a real client, OpenAI's library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from vmpilot.testing import Drop, HttpError, Reply, ScriptedCall, ScriptedServer, Stall, Step

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
REPLY = Reply(
    "It is done.",
    tool_calls=(ScriptedCall("shell", {"command": "ls -la"}, id="c1"), ScriptedCall("read", {"path": "ü"}, id="c2")),
)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    script: list[Step] = request.param
    with ScriptedServer(script) as server:
        yield server


def make_client(server: ScriptedServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="key", max_retries=0, timeout=10.0)


@pytest.mark.parametrize("server", [[REPLY]], indirect=True)
def test_complete_answer(server: ScriptedServer) -> None:
    with make_client(server) as client:
        answer = client.chat.completions.create(model="m", messages=QUESTION)
    message = answer.choices[0].message
    assert message.content == "It is done."
    assert [call.id for call in message.tool_calls or ()] == ["c1", "c2"]
    calls = [call.function for call in message.tool_calls or () if call.type == "function"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("shell", '{"command": "ls -la"}'),
        ("read", '{"path": "ü"}'),
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 120


@pytest.mark.parametrize("server", [[REPLY]], indirect=True)
def test_the_library_assembles_a_streamed_answer(server: ScriptedServer) -> None:
    with (
        make_client(server) as client,
        client.chat.completions.stream(model="m", messages=QUESTION, stream_options={"include_usage": True}) as stream,
    ):
        completion = stream.get_final_completion()
    (choice,) = completion.choices
    assert choice.message.content == "It is done."
    assert choice.finish_reason == "tool_calls"
    assert [call.function.arguments for call in choice.message.tool_calls or ()] == [
        '{"command": "ls -la"}',
        '{"path": "ü"}',
    ]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 20


@pytest.mark.parametrize("server", [[Reply(reasoning="first think", text="then speak")]], indirect=True)
def test_streamed_reasoning(server: ScriptedServer) -> None:
    with make_client(server) as client:
        chunks = list(client.chat.completions.create(model="m", messages=QUESTION, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas) == "first think"
    assert "".join(delta.content or "" for delta in deltas) == "then speak"


@pytest.mark.parametrize(
    ("server", "error"),
    [
        ([HttpError(401, "bad key", code="invalid_api_key")], openai.AuthenticationError),
        ([HttpError(429, "slow")], openai.RateLimitError),
        ([HttpError(500)], openai.InternalServerError),
        ([Drop()], openai.APIConnectionError),
        ([Drop(reset=True)], openai.APIConnectionError),
    ],
    indirect=["server"],
)
def test_errors_become_the_errors_of_the_library(server: ScriptedServer, error: type[openai.APIError]) -> None:
    with make_client(server) as client, pytest.raises(error):
        client.chat.completions.create(model="m", messages=QUESTION, stream=True)


@pytest.mark.parametrize("server", [[]], indirect=True)
def test_models(server: ScriptedServer) -> None:
    with make_client(server) as client:
        assert [model.id for model in client.models.list()] == ["scripted"]


@pytest.mark.parametrize("server", [[Stall(2, Reply("one two"))]], indirect=True)
async def test_a_canceled_async_client_disconnects(server: ScriptedServer) -> None:
    reached = asyncio.Event()

    async def read() -> None:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="key", max_retries=0) as client:
            async for chunk in await client.chat.completions.create(model="m", messages=QUESTION, stream=True):
                if chunk.choices[0].delta.content:
                    reached.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(reached.wait(), 10)
    task.cancel()
    gone = await asyncio.to_thread(server.wait_for_hangup)
    assert gone.number == 1
    with pytest.raises(asyncio.CancelledError):
        await task
