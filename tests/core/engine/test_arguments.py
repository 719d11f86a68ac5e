from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.engine.arguments import SIZE_LIMIT, ArgumentsCheck, ArgumentsProblem, read_arguments

SCHEMA = {
    "type": "object",
    "properties": {"command": {"type": "string", "minLength": 1}, "timeout": {"type": "number", "exclusiveMinimum": 0}},
    "required": ["command"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("raw", ["", "{}", " {} "])
def test_empty_arguments_are_an_empty_object(raw: str) -> None:
    assert read_arguments(raw) == {}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ('{"a": 1', "not a valid JSON"),
        ('{"a": 1}{', "not a valid JSON"),
        ("{'a': 1}", "not a valid JSON"),
        ('{"a": 1, "a": 1}', "repeated"),
        ('{"a": {"b": 1, "b": 2}}', "repeated"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ("[]", "list"),
        ('"{}"', "str"),
        ("null", "NoneType"),
        ("7", "int"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": "\\ud800"}', "unpaired surrogate"),
        ('{"\\udfff": 1}', "unpaired surrogate"),
        ("[" * 100_000, "nested"),
        ('{"a":' * 100_000, "nested"),
        ('{"a": ' + "1" * 5_000 + "}", "not a valid JSON"),
        (" " * (SIZE_LIMIT + 1), "bytes"),
        ('{"a": "' + "é" * (SIZE_LIMIT // 2) + '"}', "bytes"),
        ('{"a": 1e999}', "too large"),
        ('{"a": [-1e999]}', "too large"),
        ('{"a": ' + "1" * 101 + "}", "101 digits"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "nested"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested"),
        ('{"a": 1, "\\u0061": 2}', "repeated"),
        ('\ufeff{"a": 1}', "not a valid JSON"),
        ('{"a": 1,}', "not a valid JSON"),
        ('{"a": 01}', "not a valid JSON"),
        ('{"a": 1} // so', "not a valid JSON"),
        ('```json\n{"a": 1}\n```', "not a valid JSON"),
        (" ", "not a valid JSON"),
    ],
)
def test_ambiguous_arguments_are_rejected_with_a_reason(raw: str, why: str) -> None:
    with pytest.raises(ArgumentsProblem, match=why) as caught:
        read_arguments(raw)
    assert len(str(caught.value)) < 300


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert read_arguments(r'{"command": "grep \\u0000"}') == {"command": r"grep \u0000"}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_every_object_is_read_back_unchanged(value: dict[str, Any]) -> None:
    assert read_arguments(json.dumps(value)) == value
    assert read_arguments(json.dumps(value, ensure_ascii=False)) == value


@given(st.text())
def test_any_text_is_either_parsed_or_rejected(raw: str) -> None:
    try:
        value = read_arguments(raw)
    except ArgumentsProblem:
        return
    assert json.loads(raw or "{}") == value


def test_valid_arguments_pass() -> None:
    ArgumentsCheck(SCHEMA)({"command": "ls", "timeout": 0.5})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, '"command" is a required property'),
        ({"command": 1}, "command: 1 is not of type"),
        ({"command": ""}, "command: "),
        ({"command": "ls", "timeout": 0}, "timeout: 0"),
        ({"command": "ls", "force": True}, "force"),
        ({"command": 1, "timeout": "x"}, "timeout: "),
    ],
)
def test_each_invalid_member_is_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentsProblem, match="do not match") as caught:
        ArgumentsCheck(SCHEMA)(arguments)
    assert told in str(caught.value)


def test_long_invalid_values_are_not_quoted_in_full() -> None:
    schema = {"type": "object", "properties": {"command": {"type": "string", "maxLength": 10}}}
    with pytest.raises(ArgumentsProblem, match="command: ") as caught:
        ArgumentsCheck(schema)({"command": "x" * 900_000})
    assert len(str(caught.value)) < 500


def test_a_remote_schema_is_not_fetched() -> None:
    with pytest.raises(ValueError, match="not fetched"):
        ArgumentsCheck({"$ref": "http://127.0.0.1:9/schema.json"})({})
