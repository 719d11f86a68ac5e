"""Metadata that a provider expects back unchanged, joined from the chunks of its stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpilot.contract import AssistantMessage, BadResponse, ToolCall, decode_event, encode_event
from vmpilot.providers import CompletionReader, ModelName, ModelTarget, chat_message


def _read(provider: str, *deltas: dict[str, Any]) -> dict[str, Any] | None:
    reader = CompletionReader(ModelTarget(ModelName(provider, "m")))
    for delta in deltas:
        reader.read({"choices": [{"index": 0, "delta": delta}]})
    return reader.complete(end_is_told=True).message.provider_data


def _thinking(**block: str) -> dict[str, Any]:
    return {"thinking_blocks": [{"type": "thinking", **block}]}


def test_a_signature_ends_a_block_of_reasoning() -> None:
    deltas = [_thinking(thinking="a"), _thinking(thinking="b"), _thinking(signature="s1"), _thinking(thinking="c")]
    assert _read("bedrock", *deltas) == {
        "thinking_blocks": [
            {"type": "thinking", "thinking": "ab", "signature": "s1"},
            {"type": "thinking", "thinking": "c"},
        ]
    }


def test_hidden_reasoning_stays_a_separate_block() -> None:
    hidden = {"thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]}
    data = _read("anthropic", hidden, hidden, _thinking(thinking="a", signature="s"))
    assert data is not None
    assert [block["type"] for block in data["thinking_blocks"]] == [
        "redacted_thinking",
        "redacted_thinking",
        "thinking",
    ]


def test_openrouters_details_are_joined_by_kind_and_index() -> None:
    def detail(**members: Any) -> dict[str, Any]:
        return {"reasoning_details": [members]}

    data = _read(
        "openrouter",
        detail(type="reasoning.text", text="I ", index=0, format="f"),
        detail(type="reasoning.text", text="think", index=0, signature=None),
        detail(type="reasoning.encrypted", data="abc", index=1),
    )
    assert data == {
        "reasoning_details": [
            {"type": "reasoning.text", "text": "I think", "index": 0, "format": "f", "signature": None},
            {"type": "reasoning.encrypted", "data": "abc", "index": 1},
        ]
    }


SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}


def _calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": "shell", "arguments": "{}"}, **call} for call in calls]}


def test_metadata_of_a_call_is_sent_back_with_it() -> None:
    data = _read(
        "openai",
        _calls({"index": 0, "id": "a"}),
        _calls({"index": 1, "id": "b", "extra_content": SIGNED}),
        _calls({"index": 1, "extra_content": {"google": {"more": 1}}, "function": {}}),
        {"extra_content": {"google": {"thought_signature": "of the text"}}},
    )
    assert data == {
        "tool_calls": [{}, {"extra_content": {"google": {"thought_signature": "c2lnbmVk", "more": 1}}}],
        "extra_content": {"google": {"thought_signature": "of the text"}},
    }
    calls = (ToolCall("x", "shell", "{}"), ToolCall("y", "shell", "{}"), ToolCall("z", "shell", "{}"))
    message = AssistantMessage("", tool_calls=calls, provider="openai", provider_data=data)
    sent = chat_message(message, provider="openai")
    assert [call.get("extra_content") for call in sent["tool_calls"]] == [
        None,
        {"google": {"thought_signature": "c2lnbmVk", "more": 1}},
        None,
    ]
    assert "extra_content" not in json.dumps(chat_message(message, provider="gemini"))


def test_metadata_of_a_function_stays_in_the_function() -> None:
    fields = {"provider_specific_fields": {"thought_signature": "c2lnbmVk"}}
    data = _read("gemini", _calls({"index": 0, "function": {"name": "shell", "arguments": "{}", **fields}}))
    assert data == {"tool_calls": [{"function": fields}]}
    message = AssistantMessage("", tool_calls=(ToolCall("x", "shell", "{}"),), provider="gemini", provider_data=data)
    (call,) = chat_message(message, provider="gemini")["tool_calls"]
    assert call["function"] == {"name": "shell", "arguments": "{}", **fields}


def test_members_of_the_format_are_never_replaced() -> None:
    """The data is read from a log, where another backend may have stored it in its library's form."""
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    data: dict[str, Any] = {
        "content": [{**thinking, "index": 0}, {"type": "text", "text": "other"}, "odd"],
        "additional_kwargs": {"x": 1},
        "role": "system",
        "tool_calls": [{"id": "other", "function": {"name": "other", "arguments": "other"}, "type": "other"}],
    }
    message = AssistantMessage("Yes.", tool_calls=(ToolCall("x", "a", "{}"),), provider="p", provider_data=data)
    assert chat_message(message, provider="p") == {
        "role": "assistant",
        "content": "Yes.",
        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "a", "arguments": "{}"}}],
        "thinking_blocks": [thinking],
    }


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
NAMES = ("extra_content", "provider_specific_fields", "thought_signature", "thinking_blocks", "reasoning_details")


@settings(database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=st.dictionaries(st.sampled_from(NAMES), JSON_VALUES),
    inner=st.dictionaries(st.sampled_from(NAMES), JSON_VALUES),
)
def test_any_metadata_can_be_stored_and_sent(members: dict[str, Any], inner: dict[str, Any]) -> None:
    """Or the answer is invalid; there is no other outcome."""
    reader = CompletionReader(ModelTarget(ModelName("p", "m")))
    call = {"index": 0, "function": {"name": "a", "arguments": "{}", **inner}, **members}
    try:
        reader.read({"choices": [{"index": 0, "delta": {**members, "tool_calls": [call]}}]})
    except BadResponse:
        return
    completed = reader.complete(end_is_told=True)
    assert decode_event(encode_event(completed)) == completed
    json.dumps(chat_message(completed.message, provider="p"), allow_nan=False)


def test_deeply_nested_data_is_omitted() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"a": deep}
    assert _read("p", {"extra_content": deep, "content": "Yes."}) is None


@pytest.mark.parametrize(
    "piece", [{"extra_content": {"a": "x" * 100_000}}, _calls({"extra_content": {"a": "x" * 100_000}})]
)
def test_endless_data_is_not_an_answer(piece: dict[str, Any]) -> None:
    with pytest.raises(BadResponse, match="hidden reasoning"):
        _read("p", *[piece] * 50)
