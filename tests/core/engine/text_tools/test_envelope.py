"""The arguments are the string that the model wrote; what cannot be read is a call that the toolbox refuses."""

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
def test_arguments_come_back_letter_for_letter(arguments: dict[str, Any], indent: int | None) -> None:
    raw = json.dumps(arguments, indent=indent)
    text = f'{{"tool": "work", "arguments": {raw}}}'
    assert read_unmarked(text) == read_marked(text) == [FoundCall("work", raw)]


def test_doubled_keys_in_the_arguments_are_left_to_the_strict_reader() -> None:
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
def test_what_is_more_or_less_than_a_call_is_none_without_the_mark(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_unmarked(text)


@pytest.mark.parametrize("text", [text for text in NO_CALLS if text != '{"name": "shell"}'], ids=lambda text: text[:40])
def test_with_the_mark_it_is_a_call_that_is_refused(text: str) -> None:
    calls = read_marked(text)
    assert calls
    for call in calls:
        if call.name:
            with pytest.raises(ArgumentsProblem):
                read_arguments(call.arguments)


def test_a_broken_call_has_its_name() -> None:
    text = '{"tool": "shell", "arguments": {"command": "ls'
    assert read_marked(text) == [FoundCall("shell", text)]


def test_behind_the_mark_arguments_may_stand_beside_the_name() -> None:
    assert read_marked('{"tool": "shell", "command": "ls", "timeout": 5}') == [
        FoundCall("shell", '{"command": "ls", "timeout": 5}')
    ]
    assert read_marked('{"tool": "jobs"}') == [FoundCall("jobs", "{}")]


@given(st.text(max_size=40) | values.map(json.dumps))
def test_whatever_is_written_no_call_runs_that_was_not_asked_for(text: str) -> None:
    for call in read_marked(text):
        assert call.name == "" or json.dumps(call.name) in text or call.name in text
