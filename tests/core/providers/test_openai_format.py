"""Messages to and from the dictionaries of chat completions."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpilot.contract import (
    AssistantMessage,
    ImagePart,
    Message,
    ModelSettings,
    TextPart,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from vmpilot.providers import chat_message, chat_messages, chat_options, chat_tool, read_chat_messages, read_tool_call

TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
NAMES = st.sampled_from(["c1", "c2", "c3", ""])
USERS = st.builds(
    UserMessage,
    st.lists(st.builds(TextPart, TEXTS) | st.builds(ImagePart, TEXTS, st.none() | TEXTS), max_size=3).map(tuple),
)
CALLS = st.lists(st.builds(ToolCall, NAMES, TEXTS, TEXTS), min_size=1, max_size=2).map(tuple)
ANSWERS = st.builds(AssistantMessage, text=TEXTS) | st.builds(
    AssistantMessage, text=TEXTS, tool_calls=CALLS, finish=st.just("tool_calls")
)
RESULTS = st.builds(ToolResult, NAMES, st.just(""), TEXTS)


def name_results(messages: list[Message]) -> tuple[Message, ...]:
    """Results with the name of the call that they answer, as the parser returns them."""
    names: dict[str, str] = {}
    named: list[Message] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            names.update({call.id: call.name for call in message.tool_calls})
        elif isinstance(message, ToolResult):
            message = msgspec.structs.replace(message, name=names.get(message.call_id, ""))  # noqa: PLW2901
        named.append(message)
    return tuple(named)


@settings(database=None, derandomize=True)
@given(system=TEXTS, messages=st.lists(USERS | ANSWERS | RESULTS, max_size=5).map(name_results))
def test_messages_round_trip(system: str, messages: tuple[Message, ...]) -> None:
    dictionaries = chat_messages(messages, system=system)
    assert read_chat_messages(dictionaries) == (system, messages)
    json.dumps(dictionaries)


CALL = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"command": "ls"}'}}

DICTIONARIES: list[dict[str, Any]] = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "hi"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "a\nb"},
    {"role": "assistant", "content": "done"},
]


def test_dictionaries_round_trip() -> None:
    system, messages = read_chat_messages(DICTIONARIES)
    assert chat_messages(messages, system=system) == DICTIONARIES
    assert messages[-2] == ToolResult("c1", "shell", "a\nb")


def test_fields_unknown_to_the_format_are_omitted() -> None:
    message = AssistantMessage("t", "thought", finish="cut")
    assert chat_message(message) == {"role": "assistant", "content": "t"}
    assert chat_message(ToolResult("c", "n", "t", is_error=True, denied=True)) == {
        "role": "tool",
        "tool_call_id": "c",
        "content": "t",
    }


def test_metadata_is_sent_to_its_provider_only() -> None:
    message = AssistantMessage("t", provider="p", provider_data={"signature": "s"})
    assert chat_message(message, provider="p") == {"role": "assistant", "content": "t", "signature": "s"}
    for other in (None, "q", ""):
        assert "signature" not in chat_message(message, provider=other)


def test_system_prompts_are_joined() -> None:
    given: list[dict[str, Any]] = [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
    ]
    assert read_chat_messages(given) == ("a\n\nbc", (UserMessage.from_text("hi"),))
    assert read_chat_messages([]) == ("", ())


def test_reasoning_and_names_are_read_if_present() -> None:
    _, messages = read_chat_messages(
        [
            {"role": "assistant", "content": [{"type": "text", "text": "a"}], "reasoning_content": "r"},
            {"role": "tool", "tool_call_id": "x", "name": "n", "content": None},
        ]
    )
    assert messages == (AssistantMessage("a", "r"), ToolResult("x", "n", ""))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"role": "alien", "content": "x"},
        {"role": ["user"], "content": "x"},
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": 5},
        {"role": "user", "content": ["x"]},
        {"role": "user", "content": [{"type": "input_audio"}]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.org/a.png"}]},
        {"role": "assistant", "content": 5},
        {"role": "assistant", "tool_calls": [{}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "x"}}]},
        {"role": "tool", "content": "x"},
        None,
        "user",
    ],
)
def test_an_invalid_message_is_identified(wrong: Any) -> None:
    with pytest.raises(ValueError, match="message 1 is not a chat message: "):
        read_chat_messages([{"role": "user", "content": "x"}, wrong])


def test_a_call_keeps_its_raw_arguments() -> None:
    call = read_tool_call({"id": None, "function": {"name": None, "arguments": '{"half'}})
    assert call == ToolCall("", "", '{"half')


def test_a_tool() -> None:
    parameters = {"type": "object", "properties": {}}
    assert chat_tool(ToolSpec("n", "d", parameters)) == {
        "type": "function",
        "function": {"name": "n", "description": "d", "parameters": parameters},
    }


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": None}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": 7}}]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": 7, "function": {"name": "a", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": 7, "content": "a"},
    ],
)
def test_members_of_another_type_are_rejected(message: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="message 0"):
        read_chat_messages([message])


def test_settings_become_request_options() -> None:
    assert chat_options(ModelSettings()) == {"stream": True, "stream_options": {"include_usage": True}}
    assert chat_options(ModelSettings(streaming=False, temperature=0.0, seed=0, reasoning_effort="low")) == {
        "stream": False,
        "temperature": 0.0,
        "seed": 0,
        "reasoning_effort": "low",
    }


@pytest.mark.parametrize(
    ("omitted", "names"),
    [
        ((), {"stream", "stream_options", "seed", "max_tokens"}),
        (("stream_options",), {"stream", "seed", "max_tokens"}),
        (("seed", "reasoning_effort"), {"stream", "stream_options", "max_tokens"}),
        (("stream",), {"seed", "max_tokens"}),
        (("max_tokens",), {"stream", "stream_options", "seed", "max_completion_tokens"}),
        (("max_tokens", "max_completion_tokens"), {"stream", "stream_options", "seed"}),
    ],
)
def test_options_that_a_server_does_not_accept_are_omitted(omitted: tuple[str, ...], names: set[str]) -> None:
    assert set(chat_options(ModelSettings(max_tokens=5, seed=1, omitted=omitted))) == names


def test_the_token_limit_uses_its_other_name_if_the_first_is_not_accepted() -> None:
    first = chat_options(ModelSettings(max_tokens=5), base_url="https://api.openai.com/v1")
    assert (first.get("max_completion_tokens"), first.get("max_tokens")) == (5, None)
    other = chat_options(
        ModelSettings(max_tokens=5, omitted=("max_completion_tokens",)), base_url="https://api.openai.com/v1"
    )
    assert (other.get("max_completion_tokens"), other.get("max_tokens")) == (None, 5)
