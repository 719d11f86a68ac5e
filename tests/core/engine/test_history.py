from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import (
    AssistantMessage,
    Event,
    HistoryImported,
    ImagePart,
    LimitReached,
    Message,
    MessageCompleted,
    Notice,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from vmpilot.engine.history import (
    MAY_HAVE_RUN,
    NEVER_STARTED,
    NO_ANSWER,
    NO_REQUEST,
    messages_in,
    sendable,
    unanswered_calls,
    with_unique_ids,
)
from vmpilot.providers import chat_messages
from vmpilot.testing import history_faults


def user(text: str) -> UserMessage:
    return UserMessage.from_text(text)


def turn(text: str) -> TurnStarted:
    return TurnStarted("c", "t", user(text), "fake", "m", time=0.0)


def says(text: str = "", *calls: ToolCall) -> MessageCompleted:
    return MessageCompleted(AssistantMessage(text, tool_calls=calls, finish="tool_calls" if calls else "stop"))


def result(call_id: str, text: str = "ok") -> ToolFinished:
    return ToolFinished(ToolResult(call_id, "shell", text), seconds=0.0)


def started(call: ToolCall) -> ToolStarted:
    return ToolStarted(call, "$ ls", "mode full", time=0.0)


A, B = ToolCall("a", "shell", "{}"), ToolCall("b", "shell", "{}")

texts = st.text(max_size=8)
ids = st.sampled_from(["", "a", "b", "c", "call_1", "call_2", "\0", "\ud800"])
calls = st.builds(
    ToolCall,
    ids,
    st.sampled_from(["shell", "", "no tool", "x" * 80, "\ud800"]),
    st.sampled_from(["{}", "", "[]", "{", '{"a": NaN}', '{"a": "\\ud800"}', '{"a": "\0"}']) | texts,
)
assistants = st.builds(
    AssistantMessage,
    texts,
    texts,
    st.lists(calls, max_size=3).map(tuple),
    st.sampled_from(["stop", "tool_calls", "length", "cut"]),
)
results = st.builds(ToolResult, ids, st.just("shell"), texts)
parts = st.builds(TextPart, texts) | st.just(ImagePart("https://example.org/a.png"))
users = st.builds(UserMessage, st.lists(parts, max_size=3).map(tuple))
messages = users | assistants | results
events: st.SearchStrategy[Event] = (
    st.builds(TurnStarted, st.just("c"), st.just("t"), users, st.just("fake"), st.just("m"), time=st.just(0.0))
    | st.builds(HistoryImported, st.lists(messages, max_size=5).map(tuple))
    | st.builds(MessageCompleted, assistants)
    | st.builds(ToolFinished, results, seconds=st.just(0.0))
    | st.builds(started, calls)
    | st.just(Notice("n"))
    | st.just(LimitReached("steps", 1, "l"))
    | st.just(TurnEnded("answered", time=0.0))
)


def wire(history: tuple[Message, ...]) -> dict[str, Any]:
    return {"model": "m", "messages": chat_messages(map(sendable, history), system="s")}


@given(st.lists(events, max_size=12), users)
def test_any_history_is_valid_for_the_strictest_provider(happened: list[Event], last: UserMessage) -> None:
    assert history_faults(wire(messages_in(happened, last))) == ()


@given(st.lists(events, max_size=12), users)
def test_the_history_keeps_all_text_and_is_stable(happened: list[Event], last: UserMessage) -> None:
    history = messages_in(happened, last)
    assert history == messages_in(happened, last)
    said = [event.message.text for event in happened if isinstance(event, MessageCompleted)]
    kept = iter([message.text for message in history if isinstance(message, AssistantMessage)])
    assert all(text in kept for text in said)
    assert messages_in([HistoryImported(history)]) == history


@given(st.lists(events, max_size=12))
def test_calls_that_already_have_a_result_get_no_other(happened: list[Event]) -> None:
    assert unanswered_calls([*happened, *unanswered_calls(happened)]) == ()


def test_a_valid_conversation_is_unchanged() -> None:
    happened: list[Event] = [
        turn("1"),
        says("look", A, B),
        result("a", "1"),
        result("b", "2"),
        says("done"),
        turn("2"),
        says("bye"),
    ]
    assert messages_in(happened) == (
        user("1"),
        AssistantMessage("look", tool_calls=(A, B), finish="tool_calls"),
        ToolResult("a", "shell", "1"),
        ToolResult("b", "shell", "2"),
        AssistantMessage("done"),
        user("2"),
        AssistantMessage("bye"),
    )


def test_results_are_in_the_order_of_their_calls() -> None:
    history = messages_in([turn("1"), says("", A, B), result("b"), result("a")])
    assert [message.call_id for message in history if isinstance(message, ToolResult)] == ["a", "b"]


def test_a_call_without_a_result_gets_one_that_explains_it() -> None:
    history = messages_in([turn("1"), says("", A, B), result("b")], user("2"))
    assert history[2] == ToolResult("a", "shell", NEVER_STARTED, is_error=True)
    assert history[4:] == (AssistantMessage(NO_ANSWER), user("2"))


def test_a_turn_without_an_answer_gets_one_that_explains_it() -> None:
    assert messages_in([turn("1"), turn("2")]) == (user("1"), AssistantMessage(NO_ANSWER), user("2"))


def test_an_assistant_message_without_a_request_gets_one() -> None:
    history = messages_in([HistoryImported((AssistantMessage("Hello!"), AssistantMessage("How are you?")))], user("1"))
    assert [message.text for message in history] == [NO_REQUEST, "Hello!", NO_REQUEST, "How are you?", "1"]


def test_a_result_without_a_call_is_omitted() -> None:
    assert messages_in([turn("1"), result("a"), says("done")]) == (user("1"), AssistantMessage("done"))


def test_calls_with_the_same_id_each_get_their_own_result() -> None:
    history = messages_in(
        [turn("1"), says("", A, A), result("a", "1"), result("a", "2"), says("", A), result("a", "3")]
    )
    answers = [message for message in history if isinstance(message, ToolResult)]
    assert [answer.text for answer in answers] == ["1", "2", "3"]
    assert len({answer.call_id for answer in answers}) == 3


def test_a_started_call_is_reported_as_possibly_run() -> None:
    missing = unanswered_calls([turn("1"), says("", A, B), started(A)])
    assert [(event.result.call_id, event.result.text) for event in missing] == [
        ("a", MAY_HAVE_RUN),
        ("b", NEVER_STARTED),
    ]
    assert all(event.result.is_error for event in missing)


def test_a_message_with_unique_ids_is_unchanged() -> None:
    message = AssistantMessage(tool_calls=(A, B))
    taken: set[str] = set()
    assert with_unique_ids(message, taken) is message
    assert taken == {"a", "b"}


@given(assistants, st.sets(st.sampled_from(["a", "b", "call_1", "call_2"])))
def test_ids_are_unique_and_nothing_else_changes(message: AssistantMessage, taken: set[str]) -> None:
    before = set(taken)
    renamed = with_unique_ids(message, taken)
    own = [call.id for call in renamed.tool_calls]
    assert len(set(own)) == len(own)
    assert before.isdisjoint(own)
    assert taken == before | set(own)
    assert all(own)
    assert [(call.name, call.arguments) for call in renamed.tool_calls] == [
        (call.name, call.arguments) for call in message.tool_calls
    ]


@pytest.mark.parametrize("arguments", ["{", "", "[]", "null", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000])
def test_invalid_arguments_are_replaced_only_on_the_wire(arguments: str) -> None:
    message = AssistantMessage(tool_calls=(ToolCall("a", "shell", arguments),), finish="tool_calls")
    sent = sendable(message)
    assert isinstance(sent, AssistantMessage)
    assert sent.tool_calls == (ToolCall("a", "shell", "{}"),)
    assert message.tool_calls[0].arguments == arguments


@pytest.mark.parametrize("arguments", ['{"a": 1, "a": 2}', '{"command":"ls"}', '{ "spaced" : "ü" }'])
def test_arguments_that_are_an_object_are_sent_unchanged(arguments: str) -> None:
    sent = sendable(AssistantMessage(tool_calls=(ToolCall("a", "shell", arguments),)))
    assert isinstance(sent, AssistantMessage)
    assert sent.tool_calls[0].arguments == arguments


def test_matching_surrogates_become_one_character() -> None:
    sent = sendable(user("\ud83d\ude00 \ud83d \0"))
    assert isinstance(sent, UserMessage)
    assert sent.text == "😀 \ufffd \ufffd"


def test_invalid_calls_are_also_replaced_for_backends_that_send_the_raw_history() -> None:
    calls = (ToolCall("a", "no such tool!", "{}"), ToolCall("b", "shell", '{"command": "rm'), ToolCall("c", "x", "{}"))
    message = AssistantMessage(tool_calls=calls, finish="tool_calls")
    failed = [ToolFinished(ToolResult(call.id, call.name, "Not run.", is_error=True), 0.0) for call in calls[:2]]
    done = ToolFinished(ToolResult("c", "x", "done"), 0.0)
    events: list[Event] = [turn("Do it."), MessageCompleted(message), *failed, done]
    (sent,) = [each for each in messages_in(events) if isinstance(each, AssistantMessage)]
    assert sent.tool_calls == (ToolCall("a", "unreadable_name", "{}"), ToolCall("b", "shell", "{}"), calls[2])


def test_a_message_with_valid_calls_is_the_same_object() -> None:
    message = AssistantMessage(tool_calls=(ToolCall("a", "shell", '{"command": "false"}'),), finish="tool_calls")
    finished = ToolFinished(ToolResult("a", "shell", "[exit code 1]", is_error=True), 0.0)
    assert messages_in([turn("Do it."), MessageCompleted(message), finished])[1] is message


def test_the_output_of_a_call_that_was_interrupted_is_kept() -> None:
    message = AssistantMessage(tool_calls=(ToolCall("a", "shell", "{}"), ToolCall("b", "shell", "{}")))
    begun = ToolStarted(message.tool_calls[0], "$ x", "mode full", 0.0)
    first, second = unanswered_calls([MessageCompleted(message), begun], {"a": "so far\n\n", "b": "lies"})
    assert first.result.text.startswith("so far\n[Interrupted. The call may have had partial")
    assert "Canceled before it started" in second.result.text


def test_metadata_sent_back_to_a_provider_is_valid() -> None:
    data = {"extra_content": {"a\0": ["half \ud83d", 1, None]}}
    message = sendable(AssistantMessage("Yes.", "Hm \udc00.", provider="p", provider_data=data))
    assert message == AssistantMessage(
        "Yes.", "Hm \ufffd.", provider="p", provider_data={"extra_content": {"a\ufffd": ["half \ufffd", 1, None]}}
    )
