"""Chunks of a chat completion, in every form that servers send, become events and one message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BadResponse,
    InvalidRequest,
    MessageCompleted,
    ModelError,
    ProviderUnavailable,
    ReasoningDelta,
    StreamInterrupted,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from vmpilot.providers import CompletionReader, ModelName, ModelTarget

HERE = ModelTarget(ModelName("openai", "m"))


def _delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


def _call(**members: Any) -> dict[str, Any]:
    function = {name: members.pop(name) for name in ("name", "arguments") if name in members}
    return _delta(tool_calls=[{**members, "function": function}])


def _read(*chunks: Any) -> tuple[list[Any], MessageCompleted]:
    reader = CompletionReader(HERE)
    events = [event for chunk in chunks for event in reader.read(chunk)]
    return events, reader.complete(end_is_told=True)


def test_text_and_reasoning_under_either_name_and_in_chunks() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    deltas = (_delta(reasoning="Well."), _delta(reasoning_content="So."), _delta(content=parts), _delta("stop"))
    events, completed = _read(*deltas)
    assert events == [ReasoningDelta("Well."), ReasoningDelta("So."), ReasoningDelta("Hm."), TextDelta("Yes.")]
    assert completed.message == AssistantMessage("Yes.", reasoning="Well.So.Hm.")


def test_each_fragment_of_a_call_is_an_event() -> None:
    events, completed = _read(
        _call(index=0, id="a", name="shell", arguments=""),
        _call(index=0, arguments='{"x":'),
        _call(index=0, arguments=" 1}"),
        _delta("tool_calls"),
    )
    assert events == [ToolCallDelta(0, "", "shell"), ToolCallDelta(0, '{"x":'), ToolCallDelta(0, " 1}")]
    assert completed.message.tool_calls == (ToolCall("a", "shell", '{"x": 1}'),)


@pytest.mark.parametrize(
    ("fragment", "call"),
    [
        ({"id": None, "name": None, "arguments": None}, ToolCall("", "", "")),
        ({"id": 7, "name": ["shell"], "index": "0"}, ToolCall("", "", "")),
        ({"id": "a", "name": "shell", "arguments": {"command": "ü"}}, ToolCall("a", "shell", '{"command": "ü"}')),
    ],
)
def test_members_of_unexpected_types(fragment: dict[str, Any], call: ToolCall) -> None:
    assert _read(_call(**fragment))[1].message.tool_calls == (call,)


def test_calls_of_a_complete_message_are_separate() -> None:
    call = {"id": "a", "function": {"name": "shell", "arguments": "{}"}}
    message = {"content": None, "tool_calls": [call, call]}
    _, completed = _read({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert completed.message.tool_calls == (ToolCall("a", "shell", "{}"),) * 2


@pytest.mark.parametrize(
    ("chunks", "finish"),
    [
        ([_delta(content="Hi")], "cut"),
        ([_delta(content="Hi"), {"choices": []}, {"object": "odd"}], "cut"),
        ([_delta("mystery", content="Hi")], "cut"),
        ([_delta(["stop"], content="Hi")], "cut"),  # type: ignore[arg-type]
        ([_delta("length", content="Hi")], "length"),
        ([_delta("stop", content=None)], "stop"),
        ([_delta("stop"), _delta()], "stop"),
        ([{"choices": [{"delta": None, "finish_reason": "stop"}]}], "stop"),
        ([_delta("stop", refusal="No.")], "refusal"),
    ],
)
def test_every_finish_reason_is_recognized(chunks: list[Any], finish: str) -> None:
    assert _read(*chunks)[1].message.finish == finish


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 3, "completion_tokens": 4.0}, Usage(3, 4)),
        ({"prompt_tokens": -1, "completion_tokens": "many", "prompt_tokens_details": None}, Usage()),
        (
            {"prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 6}},
            Usage(cached_tokens=5, reasoning_tokens=6),
        ),
        ({"prompt_tokens": 10**18}, Usage()),
        ({"prompt_tokens": float("inf"), "completion_tokens_details": [5]}, Usage()),
        ("many", None),
        ([1], None),
    ],
)
def test_usage(usage: Any, read: Usage | None) -> None:
    assert _read(_delta("stop", content="Hi"), {"choices": [], "usage": usage})[1].usage == read


@pytest.mark.parametrize(
    "chunk",
    [
        None,
        [1],
        "text",
        {"choices": {"0": 1}},
        {"choices": ["text"]},
        {"choices": [{"delta": "text"}]},
        _delta(content=7),
        _delta(content=["text"]),
        _delta(tool_calls=[7]),
        _delta(tool_calls=7),
    ],
    ids=json.dumps,
)
def test_an_invalid_chunk_is_a_bad_response(chunk: Any) -> None:
    with pytest.raises(BadResponse, match=r"^openai/m sent an invalid answer \("):
        _read(chunk)


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ({"error": {"message": "It broke."}}, ProviderUnavailable),
        ({"error": "It broke."}, ProviderUnavailable),
        ({"object": "error", "message": "It broke.", "code": 400}, InvalidRequest),
    ],
)
def test_an_error_instead_of_a_chunk(chunk: dict[str, Any], kind: type[ModelError]) -> None:
    with pytest.raises(kind, match="It broke"):
        _read(_delta(content="Hi"), chunk)


def test_the_first_of_several_choices_is_used() -> None:
    first = {"index": 0, "delta": {"content": "A"}}
    second = {"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}
    both, other = {"choices": [first, second]}, {"choices": [second]}
    events, completed = _read(both, other, _delta("length"), other)
    assert events == [TextDelta("A")]
    assert completed.message == AssistantMessage("A", finish="length")


def test_a_missing_answer_or_end_is_an_error() -> None:
    with pytest.raises(BadResponse, match="empty answer"):
        CompletionReader(HERE).complete(end_is_told=True)
    reader = CompletionReader(HERE)
    reader.read(_delta(content="Hi"))
    with pytest.raises(StreamInterrupted, match="in the middle of its answer"):
        reader.complete()
