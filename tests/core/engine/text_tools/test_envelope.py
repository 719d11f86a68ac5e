"""The arguments are the string that the model wrote; invalid ones make a call that the toolbox rejects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.engine.arguments import ArgumentsProblem, read_arguments
from vmpilot.engine.text_tools._envelope import FoundCall, read_marked, read_unmarked

ONE = FoundCall("shell", '{"command": "ls"}')
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "shell", "arguments": {"command": "ls"}}',
        '{"name":"shell","parameters":{"command": "ls"}}',
        '{"args": {"command": "ls"}, "tool_name": "shell"}',
        '\n {"tool" : "shell" , "input" : {"command": "ls"} } \n',
        '{"id": "a", "type": "function", "function": {"name": "shell", "arguments": {"command": "ls"}}}',
        '{"function": "shell", "arguments": {"command": "ls"}}',
        '{"name": "shell", "arguments": "{\\"command\\": \\"ls\\"}"}',
        '[{"name": "shell", "arguments": {"command": "ls"}}]',
    ],
)
def test_the_forms_of_a_call(text: str) -> None:
    assert read_unmarked(text) == read_marked(text) == [ONE]


def test_several_calls() -> None:
    one = '{"name": "shell", "arguments": {"command": "ls"}}'
    assert read_unmarked(f"[{one}, {one}]\n{one}") == [ONE, ONE, ONE]
    assert read_marked(f"{one}\n{one}") == [ONE, ONE]


@given(st.dictionaries(st.text(max_size=5), values, max_size=3), st.sampled_from([None, 1]))
def test_arguments_are_returned_verbatim(arguments: dict[str, Any], indent: int | None) -> None:
    raw = json.dumps(arguments, indent=indent)
    text = f'{{"tool": "work", "arguments": {raw}}}'
    assert read_unmarked(text) == read_marked(text) == [FoundCall("work", raw)]


def test_duplicate_keys_in_the_arguments_are_left_to_the_strict_parser() -> None:
    raw = '{"command": "ls", "command": "rm"}'
    (call,) = read_marked(f'{{"tool": "shell", "arguments": {raw}}}')
    assert call == FoundCall("shell", raw)


NO_CALLS = [
    "",
    "null",
    '"shell"',
    "[]",
    '[{"name": "shell", "arguments": {}}, 1]',
    '{"name": "shell"}',
    '{"arguments": {}}',
    '{"name": 1, "arguments": {}}',
    '{"name": "shell", "arguments": 1}',
    '{"name": "shell", "arguments": "ls"}',
    '{"name": "shell", "arguments": {"command": "ls"}, "description": "lists"}',
    '{"name": "shell", "name": "work", "arguments": {}}',
    '{"name": "shell", "arguments": {"command": "ls"',
    '{"name": "shell", "arguments": {"command": "ls"}} and more',
    '{"name": "shell", "arguments": ' + '{"a":' * 100_000,
]


@pytest.mark.parametrize("text", NO_CALLS, ids=lambda text: text[:40])
def test_without_the_mark_an_inexact_call_is_not_a_call(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_unmarked(text)


@pytest.mark.parametrize("text", [text for text in NO_CALLS if text != '{"name": "shell"}'], ids=lambda text: text[:40])
def test_with_the_mark_an_inexact_call_is_rejected(text: str) -> None:
    calls = read_marked(text)
    assert calls
    for call in calls:
        if call.name:
            with pytest.raises(ArgumentsProblem):
                read_arguments(call.arguments)


def test_an_invalid_call_keeps_its_name() -> None:
    text = '{"tool": "shell", "arguments": {"command": "ls'
    assert read_marked(text) == [FoundCall("shell", text)]


def test_after_the_mark_arguments_can_be_siblings_of_the_name() -> None:
    assert read_marked('{"tool": "shell", "command": "ls", "timeout": 5}') == [
        FoundCall("shell", '{"command": "ls", "timeout": 5}')
    ]
    assert read_marked('{"tool": "jobs"}') == [FoundCall("jobs", "{}")]


@given(st.text(max_size=40) | values.map(json.dumps))
def test_no_text_runs_a_call_that_was_not_requested(text: str) -> None:
    for call in read_marked(text):
        assert call.name == "" or json.dumps(call.name) in text or call.name in text
