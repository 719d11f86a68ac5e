"""Providers with their own formats, through LiteLLM's classes: text, reasoning, calls, signatures."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    AuthenticationFailed,
    ProviderUnavailable,
    StreamInterrupted,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from vmpilot.testing.fakes import ScriptedToolbox

if TYPE_CHECKING:
    from tests.litellm.conftest import ByteServer, TurnRunner

Serve = Callable[[bytes], Awaitable["ByteServer"]]

ANTHROPIC: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "m",
            "stop_reason": None,
            "usage": {"input_tokens": 12, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "I "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "think."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I will "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "look."}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"command":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ' "ls"}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 30}},
    {"type": "message_stop"},
]

GEMINI: list[dict[str, Any]] = [
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "I think.", "thought": True}]}, "index": 0}]},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello."}]}, "index": 0}]},
    {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "", "thoughtSignature": "c2lnbmVk"}]},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 5, "totalTokenCount": 13},
    },
]


def _stream(events: list[dict[str, Any]], status: str = "200 OK") -> bytes:
    body = b"".join(b"%bdata: %b\n\n" % (_name(event), json.dumps(event).encode()) for event in events)
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _name(event: dict[str, Any]) -> bytes:
    return b"event: %b\n" % event["type"].encode() if "type" in event else b""


async def test_anthropic_answer_is_read_and_its_signed_reasoning_is_sent_back(
    run_turn: TurnRunner, serve_bytes: Serve
) -> None:
    server = await serve_bytes(_stream(ANTHROPIC))
    toolbox = _StopAfter(2)
    with pytest.raises(_EnoughError):
        await run_turn(server.address, model="anthropic/claude-sonnet-4-5", toolbox=toolbox)
    assert [(call.id, call.name, call.arguments) for call in toolbox.calls] == [
        ("toolu_1", "shell", '{"command": "ls"}'),
        ("call_2", "shell", '{"command": "ls"}'),
    ]
    sent = json.loads(server.requests[1].partition(b"\r\n\r\n")[2])
    answer = next(message for message in sent["messages"] if message["role"] == "assistant")
    assert answer["content"][0] == {"type": "thinking", "thinking": "I think.", "signature": "c2lnbmVk"}
    assert answer["content"][1] == {"type": "text", "text": "I will look."}
    assert answer["content"][2]["input"] == {"command": "ls"}
    assert b"x-api-key: sk-test-0123456789abcdef" in server.requests[0].lower()


async def test_anthropics_message_and_usage(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    events = [event for event in ANTHROPIC if event.get("index") != 2]
    events[-2]["delta"] = {"stop_reason": "end_turn"}
    server = await serve_bytes(_stream(events))
    turn = await run_turn(server.address, model="anthropic/claude-sonnet-4-5")
    assert (turn.text, turn.reasoning, turn.answer.finish) == ("I will look.", "I think.", "stop")
    assert turn.completed[0].usage == Usage(input_tokens=12, output_tokens=30)
    assert turn.answer.provider == "anthropic"
    assert turn.answer.provider_data == {
        "thinking_blocks": [{"type": "thinking", "thinking": "I think.", "signature": "c2lnbmVk"}]
    }


async def test_anthropics_answer_in_one_piece(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    content = [
        {"type": "thinking", "thinking": "I think.", "signature": "c2lnbmVk"},
        {"type": "text", "text": "I will look."},
    ]
    usage = {"input_tokens": 12, "output_tokens": 30}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content, "usage": usage}
    body = json.dumps({**message, "stop_reason": "max_tokens"}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    server = await serve_bytes(head + body)
    turn = await run_turn(server.address, model="anthropic/claude-sonnet-4-5", streaming=False)
    assert (turn.text, turn.reasoning, turn.answer.finish) == ("I will look.", "I think.", "length")
    assert turn.completed[0].usage == Usage(input_tokens=12, output_tokens=30)
    assert turn.answer.provider_data == {"thinking_blocks": [content[0]]}
    assert b'"stream":true' not in server.requests[0].replace(b" ", b"")


async def test_anthropics_stream_without_its_end_is_interrupted(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    server = await serve_bytes(_stream(ANTHROPIC[:-3]))
    with pytest.raises(StreamInterrupted):
        await run_turn(server.address, model="anthropic/claude-sonnet-4-5")
    assert len(server.requests) == 1


async def test_anthropics_error_within_the_stream(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    server = await serve_bytes(_stream([*ANTHROPIC[:3], error]))
    with pytest.raises(ProviderUnavailable, match="Overloaded"):
        await run_turn(server.address, model="anthropic/claude-sonnet-4-5")


async def test_anthropic_rejects_the_key(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    server = await serve_bytes(head + body)
    with pytest.raises(AuthenticationFailed, match="invalid x-api-key"):
        await run_turn(server.address, model="anthropic/claude-sonnet-4-5")
    assert len(server.requests) == 1


async def test_geminis_answer_and_its_signature(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    server = await serve_bytes(_stream(GEMINI))
    turn = await run_turn(server.address, model="gemini/gemini-2.5-pro", tools=())
    assert (turn.text, turn.reasoning, turn.answer.finish) == ("Hello.", "I think.", "stop")
    assert turn.completed[0].usage == Usage(input_tokens=8, output_tokens=5)
    assert turn.answer.provider_data == {"provider_specific_fields": {"thought_signatures": ["c2lnbmVk"]}}


async def test_gemini_signature_is_sent_back_with_its_call(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    call = {"functionCall": {"name": "shell", "args": {"command": "ls"}}, "thoughtSignature": "c2lnbmVk"}
    content = {"role": "model", "parts": [call]}
    server = await serve_bytes(_stream([{"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}]))
    toolbox = _StopAfter(2)
    with pytest.raises(_EnoughError):
        await run_turn(server.address, model="gemini/gemini-3-pro-preview", toolbox=toolbox)
    sent = json.loads(server.requests[1].partition(b"\r\n\r\n")[2])
    (part,) = next(content["parts"] for content in sent["contents"] if content["role"] == "model")
    assert part["thoughtSignature"] == "c2lnbmVk"


async def test_conversation_of_langchain_keeps_its_signed_reasoning(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    """The other backend keeps Anthropic's own blocks."""
    thinking = {"type": "thinking", "thinking": "I think.", "signature": "c2lnbmVk", "index": 0}
    call = ToolCall("toolu_1", "shell", '{"command": "ls"}')
    tool_use = {"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {}, "index": 1}
    history = (
        UserMessage.from_text("Look."),
        AssistantMessage("", "", (call,), "tool_calls", "anthropic", {"content": [thinking, tool_use]}),
        ToolResult("toolu_1", "shell", "a.txt"),
    )
    server = await serve_bytes(_stream([event for event in ANTHROPIC if event.get("index") != 2]))
    await run_turn(server.address, model="anthropic/claude-sonnet-4-5", messages=history)
    sent = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    answer = next(message for message in sent["messages"] if message["role"] == "assistant")
    assert [block["type"] for block in answer["content"]] == ["thinking", "tool_use"]
    assert answer["content"][0]["signature"] == "c2lnbmVk"


async def test_geminis_stream_without_its_end_is_interrupted(run_turn: TurnRunner, serve_bytes: Serve) -> None:
    server = await serve_bytes(_stream(GEMINI[:2]))
    with pytest.raises(StreamInterrupted):
        await run_turn(server.address, model="gemini/gemini-2.5-pro", tools=())


class _EnoughError(Exception):
    pass


class _StopAfter(ScriptedToolbox):
    """Ends an endless turn."""

    def __init__(self, count: int) -> None:
        super().__init__(self._answer_call)
        self._count = count

    def _answer_call(self, call: object) -> str:
        if len(self.calls) == self._count:
            raise _EnoughError
        return "a.txt"
