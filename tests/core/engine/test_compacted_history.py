"""Compacting any history gives a valid one, and every reader of the log gets the same one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import (
    AssistantMessage,
    Event,
    HistoryCompacted,
    HistoryImported,
    ImagePart,
    Message,
    MessageCompleted,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolResult,
    TurnStarted,
    UserMessage,
)
from vmpilot.engine.compacted_history import ASK, compact, find_kept, left_out, shorten, shorten_text
from vmpilot.engine.history import messages_in, sendable
from vmpilot.providers import chat_messages
from vmpilot.testing import history_faults


def user(text: str) -> UserMessage:
    return UserMessage.from_text(text)


def step(id_: str, output: str = "ok", text: str = "") -> list[Message]:
    """A message that calls a tool, and its result."""
    call = ToolCall(id_, "shell", "{}")
    return [AssistantMessage(text, tool_calls=(call,), finish="tool_calls"), ToolResult(id_, "shell", output)]


def say(text: str) -> AssistantMessage:
    return AssistantMessage(text)


names = st.text(max_size=4)
ids = st.sampled_from(["a", "b", "c", "call_1", "", "\0"])
calls = st.lists(st.builds(ToolCall, ids, st.just("shell"), st.sampled_from(["{}", "{"])), max_size=3).map(tuple)
parts = st.builds(TextPart, names) | st.just(ImagePart("https://example.org/a.png"))
users = st.builds(UserMessage, st.lists(parts, max_size=2).map(tuple))
assistants = st.builds(AssistantMessage, names, st.just(""), calls)
results = st.builds(ToolResult, ids, st.just("shell"), names | st.integers(0, 900).map("x".__mul__))
compactions = st.builds(
    HistoryCompacted, st.sampled_from(["", "S", "\ud800"]), st.integers(-1, 4), st.sampled_from([-1, 0, 1, 300])
)
events: st.SearchStrategy[Event] = (
    st.builds(TurnStarted, st.just("c"), st.just("t"), users, st.just("fake"), st.just("m"), time=st.just(0.0))
    | st.builds(HistoryImported, st.lists(users | assistants | results, max_size=4).map(tuple))
    | st.builds(MessageCompleted, assistants)
    | st.builds(ToolFinished, results, seconds=st.just(0.0))
    | compactions
)


def wire(history: tuple[Message, ...]) -> dict[str, Any]:
    return {"model": "m", "messages": chat_messages(map(sendable, history), system="s")}


@given(st.lists(events, max_size=16), users)
def test_any_compacted_history_is_valid_for_the_strictest_provider(happened: list[Event], last: UserMessage) -> None:
    assert history_faults(wire(messages_in(happened, last))) == ()


@given(st.lists(events, max_size=12), users, st.lists(compactions, min_size=1, max_size=3))
def test_a_running_turn_sends_the_history_in_the_log(
    happened: list[Event], request: UserMessage, entries: list[HistoryCompacted]
) -> None:
    """A running turn compacts its backend's list; a reader of the log compacts the logged entries."""
    if not request.content:
        return
    held: tuple[Message, ...] = messages_in(happened, request)
    began = TurnStarted("c", "t", request, "fake", "m", time=0.0)
    steps = [step(f"new_{at}") for at in range(2)]
    log: list[Event] = [*happened, began]
    for call, (asks, result) in zip((*entries, *entries)[:2], steps, strict=True):
        held = compact(held, call)
        assert history_faults(wire(held)) == ()
        assert isinstance(asks, AssistantMessage)
        assert isinstance(result, ToolResult)
        held = (*held, asks, result)
        log += [call, MessageCompleted(asks), ToolFinished(result, seconds=0.0)]
    resumed = messages_in(log)
    assert [text_of(message) for message in resumed] == [text_of(message) for message in held]
    assert history_faults(wire(resumed)) == history_faults(wire(held)) == ()


def text_of(message: Message) -> str:
    return message.text


HISTORY: list[Message] = [user("1?"), *step("a"), say("One."), user("2?"), *step("b"), *step("c")]


def test_a_summary_precedes_the_last_request_and_the_steps_kept() -> None:
    assert compact(HISTORY, HistoryCompacted("S", kept=1)) == (ASK, say("S"), user("2?"), *step("c"))
    assert compact(HISTORY, HistoryCompacted("S", kept=0)) == (ASK, say("S"), user("2?"))
    assert compact(HISTORY, HistoryCompacted("S", kept=9)) == (ASK, say("S"), user("2?"), *step("b"), *step("c"))


def test_summarized_and_kept_messages_are_the_complete_history() -> None:
    for kept in range(4):
        gone = left_out(HISTORY, kept)
        stays = compact(HISTORY, HistoryCompacted("S", kept=kept))[2:]
        assert len(gone) + len(stays) == len(HISTORY)
        assert [message for message in HISTORY if message not in gone] == list(stays)


def test_kept_messages_keep_provider_metadata_and_images() -> None:
    signed = AssistantMessage("", tool_calls=(ToolCall("c", "shell", "{}"),), provider="p", provider_data={"s": "x"})
    request = UserMessage((TextPart("2?"), ImagePart("https://example.org/a.png")))
    history: list[Message] = [user("1?"), say("One."), request, signed, ToolResult("c", "shell", "ok")]
    assert compact(history, HistoryCompacted("S", kept=1))[2:] == tuple(history[2:])


def test_a_history_without_a_request_is_valid_too() -> None:
    imported = HistoryImported((say("Hello."), say("Anybody?")))
    history = messages_in([imported, HistoryCompacted("S", kept=1)], user("Yes."))
    assert history_faults(wire(history)) == ()
    assert [message.text for message in history if isinstance(message, AssistantMessage)] == ["S", "Anybody?"]


def test_old_outputs_are_shortened_but_not_the_latest() -> None:
    long = "x" * 5_000
    history = [user("1?"), *step("a", long), *step("b", long)]
    short = compact(history, HistoryCompacted(kept=1, output_limit=1_000))
    assert short[2] == ToolResult("a", "shell", shorten_text(long, 1_000))
    assert short[4] == history[4]
    assert compact(short, HistoryCompacted(kept=1, output_limit=1_000)) == short


@given(st.text(min_size=0, max_size=400), st.integers(1, 200))
def test_a_text_is_shortened_once_to_head_tail_and_number_omitted(text: str, limit: int) -> None:
    short = shorten_text(text * 3, limit)
    assert len(short) <= max(limit + 100, 0)
    assert shorten_text(short, limit) == short
    if short != text * 3:
        assert short.startswith((text * 3)[: int(limit * 0.7)])
        assert f"{len(text) * 3 - limit:,} characters omitted" in short


def test_only_tool_results_are_shortened() -> None:
    for message in (user("x" * 999), say("x" * 999)):
        assert shorten(message, 10) is message


@pytest.mark.parametrize(("kept", "at"), [(-1, 9), (0, 9), (1, 7), (2, 5), (3, 5)])
def test_kept_messages_start_with_an_assistant_message_after_the_request(kept: int, at: int) -> None:
    assert find_kept(HISTORY, kept) == at


def test_an_empty_entry_changes_nothing() -> None:
    assert compact(HISTORY, HistoryCompacted()) == tuple(HISTORY)


def test_a_turn_without_a_request_adds_nothing_to_the_history() -> None:
    began = TurnStarted("c", "t", UserMessage(()), "fake", "m", time=0.0)
    assert messages_in([began, HistoryImported((user("1?"),))]) == (user("1?"),)
