"""The events' wire form: pinned, and lossless for any text of a model or command."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpilot.contract import (
    ApprovalRequested,
    AssistantMessage,
    BackendEvent,
    DeniedCall,
    Event,
    HistoryCompacted,
    HistoryImported,
    ImagePart,
    LimitReached,
    MessageCompleted,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolFinished,
    ToolOutput,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    TurnTerms,
    Usage,
    UserMessage,
    decode_event,
    encode_event,
)

CALL = ToolCall("c1", "shell", '{"command": "ls"}')
CALL_JSON = r'{"id":"c1","name":"shell","arguments":"{\"command\": \"ls\"}"}'
ANSWER = AssistantMessage("a", "r", (CALL,), "tool_calls", "p", {"k": [1, None]})
ANSWER_JSON = (
    f'{{"type":"assistant","text":"a","reasoning":"r","tool_calls":[{CALL_JSON}],"finish":"tool_calls",'
    '"provider":"p","provider_data":{"k":[1,null]}}'
)
IMAGE = ImagePart("https://example.org/a.png", "low")
USER = UserMessage((TextPart("hi"), IMAGE))
USER_JSON = (
    '{"type":"user","content":[{"type":"text","text":"hi"},'
    '{"type":"image","url":"https://example.org/a.png","detail":"low"}]}'
)

WIRE: list[tuple[Event, str]] = [
    (TextDelta("hi"), '{"type":"text_delta","text":"hi"}'),
    (ReasoningDelta("hm"), '{"type":"reasoning_delta","text":"hm"}'),
    (ToolCallDelta(1, "{", "shell"), '{"type":"tool_call_delta","position":1,"arguments":"{","name":"shell"}'),
    (ToolCallDelta(0), '{"type":"tool_call_delta","position":0}'),
    (
        MessageCompleted(ANSWER, Usage(1, 2, 3, 4)),
        f'{{"type":"message_completed","message":{ANSWER_JSON},"usage":'
        '{"input_tokens":1,"output_tokens":2,"cached_tokens":3,"reasoning_tokens":4}}',
    ),
    (MessageCompleted(AssistantMessage()), '{"type":"message_completed","message":{"type":"assistant"}}'),
    (Retrying(2, 0.5, "w", True), '{"type":"retrying","attempt":2,"delay":0.5,"why":"w","discard":true}'),
    (Notice("n"), '{"type":"notice","text":"n"}'),
    (
        TurnStarted("c", "t", USER, "b", "m", 1.5),
        f'{{"type":"turn_started","conversation_id":"c","turn_id":"t","message":{USER_JSON},'
        '"backend":"b","model":"m","time":1.5,"version":1,"terms":null}',
    ),
    (
        TurnStarted("c", "t", USER, "b", "m", 1.5, terms=TurnTerms("local", "observe", keyed=True)),
        f'{{"type":"turn_started","conversation_id":"c","turn_id":"t","message":{USER_JSON},'
        '"backend":"b","model":"m","time":1.5,"version":1,"terms":{"model":"local","mode":"observe","keyed":true}}',
    ),
    (
        ToolStarted(CALL, "$ ls", "mode full", 1.5, "/tmp"),
        f'{{"type":"tool_started","call":{CALL_JSON},"title":"$ ls","allowed_by":"mode full","time":1.5,'
        '"folder":"/tmp"}',
    ),
    (ToolOutput("c1", "x"), '{"type":"tool_output","call_id":"c1","text":"x"}'),
    (
        ToolFinished(ToolResult("c1", "shell", "t", True, True), 0.5, 3, "/tmp"),
        '{"type":"tool_finished","result":{"type":"tool","call_id":"c1","name":"shell","text":"t",'
        '"is_error":true,"denied":true},"seconds":0.5,"exit_code":3,"folder":"/tmp"}',
    ),
    (
        ToolFinished(ToolResult("c1", "shell", "t"), 0.5, denied=DeniedCall(CALL, "$ ls", "mode observe", 1.5, "/tmp")),
        '{"type":"tool_finished","result":{"type":"tool","call_id":"c1","name":"shell","text":"t"},"seconds":0.5,'
        f'"denied":{{"call":{CALL_JSON},"title":"$ ls","denied_by":"mode observe","time":1.5,"folder":"/tmp"}}}}',
    ),
    (
        ToolFinished(ToolResult("c1", "shell", "t"), 0.5, interrupted=True),
        '{"type":"tool_finished","result":{"type":"tool","call_id":"c1","name":"shell","text":"t"},"seconds":0.5,'
        '"interrupted":true}',
    ),
    (
        ApprovalRequested(CALL, "$ ls", "why"),
        f'{{"type":"approval_requested","call":{CALL_JSON},"title":"$ ls","why":"why"}}',
    ),
    (
        HistoryImported((USER, ANSWER, ToolResult("c1", "shell", "t"))),
        f'{{"type":"history_imported","messages":[{USER_JSON},{ANSWER_JSON},'
        '{"type":"tool","call_id":"c1","name":"shell","text":"t"}]}',
    ),
    (HistoryCompacted("s"), '{"type":"history_compacted","summary":"s"}'),
    (
        HistoryCompacted(kept=1, output_limit=4_000, tokens_before=9_000, tokens_after=600),
        '{"type":"history_compacted","kept":1,"output_limit":4000,"tokens_before":9000,"tokens_after":600}',
    ),
    (
        LimitReached("steps", 25.0, "t"),
        '{"type":"limit_reached","limit":"steps","maximum":25.0,"text":"t"}',
    ),
    (
        TurnEnded("failed", 1.5, Usage(1), 0.25, "e", 1),
        '{"type":"turn_ended","reason":"failed","time":1.5,"usage":{"input_tokens":1},"cost":0.25,"error":"e","exit_code":1}',
    ),
    (TurnEnded("answered", 1.5), '{"type":"turn_ended","reason":"answered","time":1.5}'),
]


@pytest.mark.parametrize(("event", "wire"), WIRE, ids=[type(event).__name__ for event, _ in WIRE])
def test_wire_form(event: Event, wire: str) -> None:
    assert encode_event(event) == wire
    assert decode_event(wire) == event
    assert decode_event(wire.encode()) == event


def test_every_event_is_pinned() -> None:
    assert {type(event) for event, _ in WIRE} == set(get_args(Event))
    assert set(get_args(BackendEvent)) <= set(get_args(Event))


def test_unknown_members_are_ignored_and_missing_ones_have_defaults() -> None:
    assert decode_event('{"type":"notice","text":"n","new":1}') == Notice("n")
    assert decode_event('{"text":"n","type":"notice"}') == Notice("n")


@pytest.mark.parametrize(
    "data",
    ["", "{", "[]", "null", "{}", '{"type":"unknown"}', '{"type":"notice"}', '{"type":"notice","text":1}', b"\xff"],
)
def test_anything_else_is_a_value_error(data: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  which words it has is the library's business
        decode_event(data)


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "a\udfffb", "\udc00\ud800", "\u2028", "\x1b[31m", "😀", "\\ud800", "\r\n", "\x7f\x85", '"'],
)
def test_any_text_becomes_one_line_of_ascii(text: str) -> None:
    wire = encode_event(TextDelta(text))
    assert wire.isascii()
    assert wire.isprintable()
    assert decode_event(wire) == TextDelta(text)


def test_adjacent_matching_surrogates_become_one_character() -> None:
    assert decode_event(encode_event(TextDelta("\ud83d\ude00"))) == TextDelta("😀")


# Matching surrogates become one character, as tested above.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(ToolCall, TEXTS, TEXTS, TEXTS)
ANSWERS = st.builds(
    AssistantMessage,
    TEXTS,
    TEXTS,
    st.lists(CALLS, max_size=2).map(tuple),
    st.sampled_from(["stop", "tool_calls", "length", "content_filter", "refusal", "cut"]),
    st.none() | TEXTS,
    st.none() | st.dictionaries(TEXTS, JSON, max_size=2),
)
USERS = st.builds(
    UserMessage,
    st.lists(st.builds(TextPart, TEXTS) | st.builds(ImagePart, TEXTS, st.none() | TEXTS), max_size=3).map(tuple),
)
RESULTS = st.builds(ToolResult, TEXTS, TEXTS, TEXTS, st.booleans(), st.booleans())
USAGES = st.builds(Usage, *[st.integers(0, 10**12)] * 4)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(TextDelta, TEXTS),
    st.builds(ToolCallDelta, st.integers(0, 9), TEXTS, TEXTS),
    st.builds(MessageCompleted, ANSWERS, st.none() | USAGES),
    st.builds(Retrying, st.integers(), NUMBERS, TEXTS, st.booleans()),
    st.builds(TurnStarted, TEXTS, TEXTS, USERS, TEXTS, TEXTS, NUMBERS),
    st.builds(ToolStarted, CALLS, TEXTS, TEXTS, NUMBERS, st.none() | TEXTS),
    st.builds(ToolFinished, RESULTS, NUMBERS, st.none() | st.integers(), st.none() | TEXTS),
    st.builds(HistoryImported, st.lists(USERS | ANSWERS | RESULTS, max_size=3).map(tuple)),
    st.builds(LimitReached, st.sampled_from(["steps", "seconds", "money", "tokens"]), NUMBERS, TEXTS),
    st.builds(
        TurnEnded, st.just("failed"), NUMBERS, USAGES, st.none() | NUMBERS, st.none() | TEXTS, st.integers(0, 130)
    ),
)


@settings(database=None, derandomize=True)
@given(event=EVENTS)
def test_every_event_round_trips(event: Event) -> None:
    wire = encode_event(event)
    assert wire.isascii()
    assert "\n" not in wire
    assert next(iter(json.loads(wire))) == "type"
    assert decode_event(wire) == event


def test_events_are_values() -> None:
    with pytest.raises(AttributeError):
        TextDelta("a").text = "b"  # type: ignore[misc]
    assert msgspec.structs.replace(Notice("a"), text="b") == Notice("b")


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40) == Usage(11, 22, 33, 44)
