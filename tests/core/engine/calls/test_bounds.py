from __future__ import annotations

from itertools import cycle

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    Notice,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from vmpilot.engine.calls import Bounds, Emitter, cut_message
from vmpilot.engine.calls.bounds import MAX_ARGUMENTS, MAX_CALLS, MAX_TEXT

LARGE = 100_000


def take_all(*pieces: BackendEvent) -> tuple[Emitter, Bounds]:
    """What is kept of a stream that repeats these events forever."""
    emitter, bounds = Emitter(lambda _event: None), Bounds()
    for piece in cycle(pieces):
        if (fitting := bounds.fit(piece)) is not None:
            emitter(fitting)
        if bounds.exceeded:
            break
    return emitter, bounds


def told(bounds: Bounds) -> str:
    assert bounds.exceeded is not None
    return bounds.exceeded.text


def test_text_and_reasoning_share_one_limit() -> None:
    emitter, bounds = take_all(ReasoningDelta("r" * LARGE), TextDelta("t" * LARGE))
    message = emitter.message("length")
    assert len(message.text) + len(message.reasoning) == MAX_TEXT
    assert set(message.text) == {"t"}
    assert set(message.reasoning) == {"r"}
    assert told(bounds) == "VMPilot reads at most 2,000,000 characters of one answer. The rest was discarded."


def test_the_beginning_of_one_huge_event_is_kept() -> None:
    bounds = Bounds()
    assert bounds.fit(TextDelta("x" * 8 * MAX_TEXT)) == TextDelta("x" * MAX_TEXT)
    assert bounds.exceeded


def test_an_event_that_just_fits_is_unchanged() -> None:
    bounds = Bounds()
    for piece in (TextDelta("x" * MAX_TEXT), ToolCallDelta(MAX_CALLS - 1, "x" * MAX_ARGUMENTS, "a")):
        assert bounds.fit(piece) is piece
    assert not bounds.exceeded


@pytest.mark.parametrize("piece", [TextDelta(""), ToolCallDelta(0)])
def test_the_number_of_empty_events_is_limited(piece: BackendEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TEXT", "MAX_ARGUMENTS"):
        monkeypatch.setattr(f"vmpilot.engine.calls.bounds.{name}", 100)
    bounds = Bounds()
    for _ in range(100):
        bounds.fit(piece)
    assert not bounds.exceeded
    bounds.fit(piece)
    assert bounds.exceeded


def test_arguments_share_one_limit_over_all_calls() -> None:
    emitter, bounds = take_all(ToolCallDelta(0, "a" * LARGE, "first"), ToolCallDelta(1, "b" * LARGE, "second"))
    calls = emitter.message("length", with_calls=True).tool_calls
    assert [call.name for call in calls] == ["first", "second"]
    assert sum(len(call.arguments) for call in calls) == MAX_ARGUMENTS
    assert "none of its calls were run" in told(bounds)


def test_the_first_of_too_many_calls_are_kept() -> None:
    emitter, bounds = Emitter(lambda _event: None), Bounds()
    for position in range(MAX_CALLS + 1):
        assert not bounds.exceeded
        if (fitting := bounds.fit(ToolCallDelta(position, "{}", "work"))) is not None:
            emitter(fitting)
    assert len(emitter.message("length", with_calls=True).tool_calls) == MAX_CALLS
    assert "more than 64 tool calls" in told(bounds)


def test_a_call_without_any_content_is_omitted() -> None:
    emitter, _ = take_all(ToolCallDelta(1), ToolCallDelta(0, "{}", "work"), TextDelta("x" * MAX_TEXT))
    assert [call.name for call in emitter.message("length", with_calls=True).tool_calls] == ["work"]


@pytest.mark.parametrize(
    "message",
    [
        AssistantMessage("x" * (MAX_TEXT + 1)),
        AssistantMessage("x", "r" * MAX_TEXT),
        AssistantMessage(tool_calls=(ToolCall("1", "a", "x" * (MAX_ARGUMENTS + 1)),), finish="tool_calls"),
        AssistantMessage(tool_calls=(ToolCall("1", "a", "{}"),) * (MAX_CALLS + 1), finish="tool_calls"),
    ],
    ids=["text", "reasoning", "arguments", "calls"],
)
def test_a_complete_message_has_the_same_limits(message: AssistantMessage) -> None:
    cut = cut_message(MessageCompleted(message, Usage(1)))
    assert cut is not None
    notice, completed = cut
    assert isinstance(notice, Notice)
    assert (completed.message.finish, completed.usage) == ("length", Usage(1))
    assert cut_message(completed) is None


def test_an_ordinary_message_is_unchanged() -> None:
    assert cut_message(MessageCompleted(AssistantMessage("Fine.", "Hm.", (ToolCall("1", "a", "{}"),)))) is None
