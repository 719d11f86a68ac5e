"""Assembling messages from what servers really send."""

from __future__ import annotations

from typing import Any

import pytest

from vmpilot.contract import AssistantMessage, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta
from vmpilot.providers import MessageBuilder

Fragment = tuple[int | None, str | None, str | None, str | None]


def build(*fragments: Fragment, finish: str | None = "tool_calls") -> AssistantMessage:
    builder = MessageBuilder()
    for index, id_, name, arguments in fragments:
        builder.add_tool_call(index=index, id=id_, name=name, arguments=arguments)
    return builder.build(finish)


def test_chunks_are_joined_and_returned_as_events() -> None:
    builder = MessageBuilder()
    assert builder.add_reasoning("h") == ReasoningDelta("h")
    assert builder.add_reasoning("m") == ReasoningDelta("m")
    assert builder.add_text("a") == TextDelta("a")
    assert builder.add_text("b") == TextDelta("b")
    assert builder.add_tool_call(index=0, id="1", name="s", arguments="{") == ToolCallDelta(0, "{", "s")
    assert builder.add_tool_call(index=1, id="2", name="t", arguments=None) == ToolCallDelta(1, "", "t")
    assert builder.add_tool_call(index=0, id=None, name=None, arguments="}") == ToolCallDelta(0, "}", "")
    expected = AssistantMessage("ab", "hm", (ToolCall("1", "s", "{}"), ToolCall("2", "t", "")), "tool_calls")
    assert builder.build("tool_calls") == expected


@pytest.mark.parametrize(
    ("pieces", "deltas"),
    [
        (["a\ud83d", "\ude00b"], ["a", "😀b"]),
        (["\ud83d", "\ude00"], ["", "😀"]),
        (["\ud83d", "\ud83d", "\ude00\ud83d", "\ude00"], ["", "\ud83d", "😀", "😀"]),
        (["a\ud83d", "b"], ["a", "\ud83db"]),
        (["\ude00a"], ["\ude00a"]),
        (["a\ud83d"], ["a"]),
        (["a\ud83d", ""], ["a", ""]),
    ],
)
def test_surrogates_in_separate_chunks_are_joined(pieces: list[str], deltas: list[str]) -> None:
    builder = MessageBuilder()
    calls = [builder.add_tool_call(index=0, id="1", name="s", arguments=piece) for piece in pieces]
    assert [delta.text for delta in map(builder.add_text, pieces)] == deltas
    assert [delta.text for delta in map(builder.add_reasoning, pieces)] == deltas
    assert [delta.arguments for delta in calls] == deltas
    message = builder.build("tool_calls")
    assert (message.text, message.reasoning, message.tool_calls[0].arguments) == ("".join(deltas),) * 3


@pytest.mark.parametrize(
    ("fragments", "calls"),
    [
        pytest.param(
            [(0, "1", "a", "{"), (1, "2", "b", "["), (0, None, None, "}"), (1, None, None, "]")],
            [("1", "a", "{}"), ("2", "b", "[]")],
            id="interleaved",
        ),
        pytest.param(
            [(None, "1", "a", "{"), (None, None, None, "}"), (None, "2", "b", "{}")],
            [("1", "a", "{}"), ("2", "b", "{}")],
            id="no index",
        ),
        pytest.param(
            [(None, "1", "a", "{"), (None, "1", "a", "}")], [("1", "a", "{}")], id="no index, id in every piece"
        ),
        pytest.param(
            [(None, "1", "a", "{"), (None, "2", "b", "{"), (None, "1", None, "}"), (None, "2", None, "}")],
            [("1", "a", "{}"), ("2", "b", "{}")],
            id="no index, ids interleaved",
        ),
        pytest.param([(0, "1", "a", "{"), (0, "1", "a", "}")], [("1", "a", "{}")], id="id and name in every piece"),
        pytest.param(
            [(0, "1", "a", "{}"), (0, "2", "b", "{"), (0, None, None, "}")],
            [("1", "a", "{}"), ("2", "b", "{}")],
            id="a second id on one index",
        ),
        pytest.param([(0, "", "a", "{"), (0, "1", "", "}")], [("1", "a", "{}")], id="empty id and name first"),
        pytest.param([(0, None, "a", "{}")], [("", "a", "{}")], id="no id"),
        pytest.param([(0, "1", None, "{}")], [("1", "", "{}")], id="no name"),
        pytest.param([(None, None, None, "{}")], [("", "", "{}")], id="arguments only"),
        pytest.param([(5, "1", "a", "{}"), (2, "2", "b", "")], [("1", "a", "{}"), ("2", "b", "")], id="odd indices"),
        pytest.param([(0, "1", "a", '{"x": 1'), (0, None, None, "")], [("1", "a", '{"x": 1')], id="not repaired"),
    ],
)
def test_fragments_are_matched_however_servers_number_them(
    fragments: list[Fragment], calls: list[tuple[str, str, str]]
) -> None:
    assert build(*fragments).tool_calls == tuple(ToolCall(*call) for call in calls)


def test_positions_count_the_calls() -> None:
    builder = MessageBuilder()
    fragments: list[dict[str, Any]] = [
        {"index": 3, "id": "1", "name": "a", "arguments": "{"},
        {"index": 3, "id": "2", "name": "b", "arguments": "{"},
        {"index": 3, "id": None, "name": None, "arguments": "}"},
    ]
    assert [builder.add_tool_call(**fragment).position for fragment in fragments] == [0, 1, 1]


@pytest.mark.parametrize(
    ("word", "without_calls", "with_calls"),
    [
        ("stop", "stop", "tool_calls"),
        ("end_turn", "stop", "tool_calls"),
        ("tool_calls", "cut", "tool_calls"),
        ("tool_use", "cut", "tool_calls"),
        ("function_call", "cut", "tool_calls"),
        ("length", "length", "length"),
        ("max_tokens", "length", "length"),
        ("content_filter", "content_filter", "content_filter"),
        ("refusal", "refusal", "refusal"),
        (None, "cut", "cut"),
        ("", "cut", "cut"),
        ("STOP", "cut", "cut"),
        ("banana", "cut", "cut"),
    ],
)
def test_finish_reason_of_a_message(word: str | None, without_calls: str, with_calls: str) -> None:
    assert build(finish=word).finish == without_calls
    assert build((0, "1", "a", "{}"), finish=word).finish == with_calls
    assert build(finish=word).ended_properly == (without_calls in {"stop", "tool_calls"})


@pytest.mark.parametrize("word", ["stop", "tool_calls", None, "length"])
def test_a_refusal_stays_a_refusal(word: str | None) -> None:
    builder = MessageBuilder()
    builder.add_text("I ")
    assert builder.add_refusal("won't") == TextDelta("won't")
    message = builder.build(word)
    assert (message.text, message.finish) == ("I won't", "refusal")


def test_metadata_belongs_to_its_provider() -> None:
    assert MessageBuilder().build("stop", provider="p", provider_data={"k": 1}) == AssistantMessage(
        provider="p", provider_data={"k": 1}
    )
    assert MessageBuilder().build("stop", provider="p", provider_data={}) == AssistantMessage()
    assert MessageBuilder().build("stop", provider="p") == AssistantMessage()


def test_a_legacy_function_call_is_a_call_without_an_id() -> None:
    builder = MessageBuilder()
    assert builder.add_function_call(name="shell", arguments='{"a"') == ToolCallDelta(0, '{"a"', "shell")
    assert builder.add_function_call(name=None, arguments=": 1}") == ToolCallDelta(0, ": 1}")
    message = builder.build("function_call")
    assert (message.tool_calls, message.finish) == ((ToolCall("", "shell", '{"a": 1}'),), "tool_calls")


@pytest.mark.parametrize("first", ["old", "new"])
def test_the_newer_form_wins_over_the_legacy_one(first: str) -> None:
    builder = MessageBuilder()
    if first == "old":
        builder.add_function_call(name="shell", arguments="{}")
    builder.add_tool_call(index=None, id=None, name="shell", arguments="{")
    builder.add_tool_call(index=None, id=None, name=None, arguments="}")
    assert builder.add_function_call(name="shell", arguments="{}") is None
    assert builder.build("tool_calls").tool_calls == (ToolCall("", "shell", "{}"),)
