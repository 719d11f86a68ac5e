from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BadResponse,
    GenerationRequest,
    ImagePart,
    MessageCompleted,
    ModelCall,
    ModelSettings,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
    UserMessage,
)
from vmpilot.providers import ModelName, ModelTarget
from vmpilot_backend_langchain.chat_model import stream_chat_model

RequestMaker = Callable[..., GenerationRequest]
TurnRunner = Callable[..., Awaitable[list[BackendEvent]]]

TARGET = ModelTarget(ModelName("anthropic", "m"))
SHELL = ToolSpec("shell", "Run a command.", {"type": "object", "properties": {}})
CALL = ModelCall((UserMessage.from_text("Hello?"),), "Be brief.", "anthropic/m", ModelSettings(), ())


class ChunkModel(BaseChatModel):
    """A chat model that streams given chunks and records its requests."""

    chunks: list[AIMessageChunk]
    asked: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "chunks"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        self.asked.append(tools)
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.append(messages)
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk)


def ending(reason: str, name: str = "finish_reason") -> AIMessageChunk:
    return AIMessageChunk(content="", response_metadata={name: reason})


async def collect(model: BaseChatModel, call: ModelCall = CALL) -> list[BackendEvent]:
    return [event async for event in stream_chat_model(model, call, TARGET)]


class WholeModel(ChunkModel):
    """A chat model that returns one whole answer."""

    answer: AIMessage

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer)])


async def test_an_answer_in_one_piece() -> None:
    answer = AIMessage(
        [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "Looking."}],
        tool_calls=[{"name": "shell", "args": {"command": "echo ü"}, "id": "a"}],
        invalid_tool_calls=[{"name": "shell", "args": '{"command": "rm', "id": "b", "error": None}],
        usage_metadata={"input_tokens": 9, "output_tokens": 5, "total_tokens": 14},
        response_metadata={"stop_reason": "tool_use"},
    )
    settings = ModelSettings(streaming=False)
    call = ModelCall(CALL.messages, CALL.system, CALL.model, settings, ())
    events = await collect(WholeModel(chunks=[], answer=answer), call)
    assert events[:-1] == [
        ReasoningDelta("Hm."),
        TextDelta("Looking."),
        ToolCallDelta(0, '{"command": "echo ü"}', "shell"),
        ToolCallDelta(1, '{"command": "rm', "shell"),
    ]
    last = events[-1]
    assert isinstance(last, MessageCompleted)
    assert last.usage == Usage(input_tokens=9, output_tokens=5)
    assert last.message.finish == "tool_calls"
    assert last.message.provider_data == {"content": answer.content}


async def test_empty_whole_answer_is_an_error() -> None:
    with pytest.raises(BadResponse, match="empty"):
        await collect(
            WholeModel(chunks=[], answer=AIMessage("")),
            ModelCall(CALL.messages, "", CALL.model, ModelSettings(omitted=("stream",)), ()),
        )


async def test_text() -> None:
    answer = AIMessage("Hello there", response_metadata={"finish_reason": "stop"})
    events = await collect(GenericFakeChatModel(messages=iter([answer])))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello there"
    assert isinstance(events[-1], MessageCompleted)
    assert events[-1].message == AssistantMessage("Hello there", finish="cut")  # the fake loses its finish reason


async def test_reasoning_signatures_calls_and_usage() -> None:
    chunks = [
        AIMessageChunk(content=[{"type": "thinking", "thinking": "Let me ", "index": 0}]),
        AIMessageChunk(content=[{"type": "thinking", "thinking": "see.", "index": 0}]),
        AIMessageChunk(content=[{"type": "thinking", "signature": "s", "index": 0}]),
        AIMessageChunk(content=[{"type": "text", "text": "Looking.", "index": 1}]),
        AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="shell", args="", id="a", index=2)]),
        AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args='{"command": "rm -rf /srv', index=2)]),
        AIMessageChunk(
            content="",
            usage_metadata={
                "input_tokens": 9,
                "output_tokens": 5,
                "total_tokens": 14,
                "input_token_details": {"cache_read": 4},
                "output_token_details": {"reasoning": 2},
            },
        ),
        ending("tool_use", "stop_reason"),
    ]
    events = await collect(ChunkModel(chunks=chunks))
    assert events[:-1] == [
        ReasoningDelta("Let me "),
        ReasoningDelta("see."),
        TextDelta("Looking."),
        ToolCallDelta(0, "", "shell"),
        ToolCallDelta(0, '{"command": "rm -rf /srv'),
    ]
    thinking = {"type": "thinking", "thinking": "Let me see.", "signature": "s", "index": 0}
    assert events[-1] == MessageCompleted(
        AssistantMessage(
            "Looking.",
            reasoning="Let me see.",
            tool_calls=(ToolCall("a", "shell", '{"command": "rm -rf /srv'),),
            finish="tool_calls",
            provider="anthropic",
            provider_data={"content": [thinking, {"type": "text", "text": "Looking.", "index": 1}]},
        ),
        Usage(input_tokens=9, output_tokens=5, cached_tokens=4, reasoning_tokens=2),
    )


async def test_keywords_are_kept_unless_they_are_kept_elsewhere() -> None:
    chunks = [
        AIMessageChunk(content="Yes.", additional_kwargs={"reasoning_content": "Hm.", "signatures": {"a": "s"}}),
        AIMessageChunk(content="", additional_kwargs={"parsed": None}),
        ending("STOP"),
    ]
    (*_, last) = await collect(ChunkModel(chunks=chunks))
    assert last == MessageCompleted(
        AssistantMessage(
            "Yes.",
            reasoning="Hm.",
            provider="anthropic",
            provider_data={"additional_kwargs": {"signatures": {"a": "s"}, "parsed": None}},
        )
    )


@pytest.mark.parametrize("has_newer", [True, False])
async def test_call_in_the_old_form_is_used_without_a_newer_one(has_newer: bool) -> None:
    newer = [tool_call_chunk(name="shell", args='{"a": 1}', id="a", index=0)]
    chunks = [
        AIMessageChunk(content="", additional_kwargs={"function_call": {"name": "shell", "arguments": '{"a"'}}),
        AIMessageChunk(
            content="",
            additional_kwargs={"function_call": {"arguments": ": 1}"}},
            tool_call_chunks=newer if has_newer else [],
        ),
        ending("function_call"),
    ]
    (*_, last) = await collect(ChunkModel(chunks=chunks))
    call = ToolCall("a" if has_newer else "", "shell", '{"a": 1}')
    assert last == MessageCompleted(AssistantMessage(tool_calls=(call,), finish="tool_calls"))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("stop_sequence", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("refusal", "refusal"),
        ("MALFORMED_FUNCTION_CALL", "cut"),
    ],
)
async def test_finish_reasons(reason: str, finish: str) -> None:
    (*_, last) = await collect(ChunkModel(chunks=[AIMessageChunk(content="Yes."), ending(reason)]))
    assert isinstance(last, MessageCompleted)
    assert last.message.finish == finish


async def test_empty_stream_is_an_error() -> None:
    with pytest.raises(BadResponse, match="empty"):
        await collect(ChunkModel(chunks=[AIMessageChunk(content="")]))


async def test_tools_and_history_reach_the_model() -> None:
    model = ChunkModel(chunks=[AIMessageChunk(content="Yes."), ending("stop")])
    await collect(model, ModelCall(CALL.messages, CALL.system, CALL.model, CALL.settings, (SHELL,)))
    tools, messages = model.asked
    assert [tool["function"]["name"] for tool in tools] == ["shell"]
    assert [(message.type, message.content) for message in messages] == [("system", "Be brief."), ("human", "Hello?")]


def claude_events(*blocks: tuple[dict[str, Any], list[dict[str, Any]]], stop: str) -> bytes:
    """A stream of Anthropic's messages API, https://docs.anthropic.com/en/api/messages-streaming."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    start = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**start, "stop_reason": None}}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 20}})
    events.append({"type": "message_stop"})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


class ClaudeServer:
    """Answers the messages API on loopback, one answer after the other."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n") if self._answers else b"":
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self.requests.append(json.loads(await reader.readexactly(int(lengths[0].partition(b":")[2]))))
            body = self._answers.pop(0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()
        await writer.wait_closed()


async def test_claude_gets_its_signature_back(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    pytest.importorskip("langchain_anthropic")
    looking = claude_events(
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "SIGNED"}],
        ),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Looking."}]),
        (
            {"type": "tool_use", "id": "t", "name": "shell", "input": {}},
            [{"type": "input_json_delta", "partial_json": '{"command":  "ls"}'}],
        ),
        stop="tool_use",
    )
    done = claude_events(({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Done."}]), stop="end_turn")
    server = ClaudeServer(looking, done)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    picture = UserMessage((TextPart("See:"), ImagePart("data:image/png;base64,iVBORw0KGgo=")))
    settings = ModelSettings(base_url=url, max_tokens=99, temperature=1.0)
    events = await run_turn(make_request(settings=settings, model="anthropic/claude-opus-4-8", messages=(picture,)))
    listener.close()
    first, second = (event.message for event in events if isinstance(event, MessageCompleted))
    assert (first.reasoning, first.text, first.finish) == ("Hm.", "Looking.", "tool_calls")
    assert first.tool_calls == (ToolCall("t", "shell", '{"command":  "ls"}'),)
    assert second == AssistantMessage("Done.")
    asked, answered = server.requests
    assert (asked["max_tokens"], asked["temperature"], asked["system"]) == (99, 1.0, "Be brief.")
    assert asked["messages"][0]["content"][1]["source"]["data"] == "iVBORw0KGgo="
    assert answered["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "SIGNED"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "t", "name": "shell", "input": {"command": "ls"}},
    ]
