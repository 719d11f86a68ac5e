from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import cycle

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ModelCall,
    ModelSettings,
    Notice,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from vmpilot.engine.calls import Bounds, bounded, cut_message
from vmpilot.engine.calls.bounds import MAX_ARGUMENTS, MAX_CALLS, MAX_TEXT

LARGE = 100_000
CALL = ModelCall((), "", "m", ModelSettings(), ())


def take_all(*pieces: BackendEvent) -> tuple[Bounds, list[BackendEvent]]:
    """What is taken of a stream that repeats these pieces for ever."""
    taken: list[BackendEvent] = []
    bounds = Bounds()
    for piece in cycle(pieces):
        taken.append(bounds.take(piece))
        if bounds.full:
            break
    return bounds, taken


def test_text_and_reasoning_share_one_bound() -> None:
    bounds, taken = take_all(ReasoningDelta("r" * LARGE), TextDelta("t" * LARGE))
    notice, completed = bounds.finish()
    message = completed.message
    assert len(message.text) + len(message.reasoning) == MAX_TEXT
    assert message.text == "".join(event.text for event in taken if isinstance(event, TextDelta))
    assert message.reasoning == "".join(event.text for event in taken if isinstance(event, ReasoningDelta))
    assert (message.finish, completed.usage) == ("length", None)
    assert notice.text == "VMPilot reads at most 2,000,000 characters of one answer: the rest was not read."


def test_of_one_huge_piece_the_beginning_is_kept() -> None:
    bounds = Bounds()
    assert bounds.take(TextDelta("x" * 8 * MAX_TEXT)) == TextDelta("x" * MAX_TEXT)
    assert bounds.full


def test_what_just_fits_is_taken_as_it_is() -> None:
    bounds = Bounds()
    for piece in (TextDelta("x" * MAX_TEXT), ToolCallDelta(MAX_CALLS - 1, "x" * MAX_ARGUMENTS, "a")):
        assert bounds.take(piece) is piece
    assert not bounds.full


@pytest.mark.parametrize("piece", [TextDelta(""), ToolCallDelta(0)])
def test_pieces_without_anything_come_to_an_end(piece: BackendEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TEXT", "MAX_ARGUMENTS"):
        monkeypatch.setattr(f"vmpilot.engine.calls.bounds.{name}", 100)
    _, taken = take_all(piece)
    assert len(taken) == 101


def test_arguments_have_a_bound_over_all_calls() -> None:
    bounds, _ = take_all(ToolCallDelta(0, "a" * LARGE, "first"), ToolCallDelta(1, "b" * LARGE, "second"))
    notice, completed = bounds.finish()
    assert [call.name for call in completed.message.tool_calls] == ["first", "second"]
    assert sum(len(call.arguments) for call in completed.message.tool_calls) == MAX_ARGUMENTS
    assert not completed.message.ended_properly
    assert "nothing of it is run" in notice.text


def test_of_too_many_calls_the_first_are_kept_and_none_counts() -> None:
    bounds = Bounds()
    for position in range(MAX_CALLS + 1):
        assert not bounds.full
        bounds.take(ToolCallDelta(position, "{}", "work"))
    notice, completed = bounds.finish()
    assert len(completed.message.tool_calls) == MAX_CALLS
    assert not completed.message.ended_properly
    assert "more than 64 calls" in notice.text


def test_a_call_of_which_nothing_came_is_none() -> None:
    bounds, _ = take_all(ToolCallDelta(1), ToolCallDelta(0, "{}", "work"), TextDelta("x" * MAX_TEXT))
    _, completed = bounds.finish()
    assert [call.name for call in completed.message.tool_calls] == ["work"]


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
def test_a_whole_message_has_the_same_bounds(message: AssistantMessage) -> None:
    cut = cut_message(MessageCompleted(message, Usage(1)))
    assert cut is not None
    notice, completed = cut
    assert isinstance(notice, Notice)
    assert (completed.message.finish, completed.usage) == ("length", Usage(1))
    assert cut_message(completed) is None


def test_an_ordinary_message_is_left_alone() -> None:
    assert cut_message(MessageCompleted(AssistantMessage("Fine.", "Hm.", (ToolCall("1", "a", "{}"),)))) is None


async def test_what_collects_an_answer_gets_no_more_of_it() -> None:
    closed = False

    async def endless(_call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        nonlocal closed
        try:
            while True:
                yield TextDelta("x" * LARGE)
        finally:
            closed = True

    events = [event async for event in bounded(endless)(CALL)]
    assert sum(len(event.text) for event in events if isinstance(event, TextDelta)) == MAX_TEXT
    assert isinstance(events[-1], MessageCompleted)
    assert events[-1].message.finish == "length"
    assert closed


async def test_what_fits_passes() -> None:
    async def short(_call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        yield TextDelta("x")
        yield MessageCompleted(AssistantMessage("x"))

    assert [event async for event in bounded(short)(CALL)] == [TextDelta("x"), MessageCompleted(AssistantMessage("x"))]
