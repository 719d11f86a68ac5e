"""The grammar of a turn as an assertion: what it accepts, and the message for what it does not."""

from __future__ import annotations

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    Event,
    MessageCompleted,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolOutput,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from vmpilot.testing import check_backend_events, check_turn

CALL = ToolCall("c1", "shell", "{}")
ASKS = MessageCompleted(AssistantMessage(tool_calls=(CALL,), finish="tool_calls"))
ANSWER = MessageCompleted(AssistantMessage("one two"))
SAID = (TextDelta("one "), TextDelta("two"), ANSWER)
BEGIN = TurnStarted("c", "t", UserMessage.from_text("hi"), "b", "m", 0.0)
END = TurnEnded("answered", 0.0)
START = ToolStarted(CALL, "$ ls", "full", 0.0)
FINISH = ToolFinished(ToolResult("c1", "shell", "ok"), 0.1)


def test_good_turns_pass() -> None:
    check_backend_events([ASKS, Notice("so"), *SAID])
    check_backend_events([TextDelta("lost"), Retrying(2, 0.0, "it broke", discard=True), *SAID])
    check_backend_events([TextDelta("and then it bro")], failed=True)
    check_turn([BEGIN, ASKS, START, ToolOutput("c1", "o"), FINISH, *SAID, END])
    check_turn([BEGIN, ASKS, FINISH, ANSWER, END])


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([TextDelta("one "), *SAID], "TextDeltas say 'one one two'"),
        ([ReasoningDelta("hm"), ANSWER], "ReasoningDeltas say 'hm'"),
        ([*SAID, TextDelta("more")], "deltas without a message after them: 'more'"),
        ([TextDelta("one")], "ended without a MessageCompleted"),
        ([ASKS], "never got their results"),
        ([BEGIN, *SAID], "which no backend yields"),
    ],
)
def test_an_invalid_turn_of_a_backend_is_described(events: list[BackendEvent], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_backend_events(events)


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([], "the first event is missing, not TurnStarted"),
        ([BEGIN, ANSWER], "the last event is MessageCompleted, not TurnEnded"),
        ([BEGIN, BEGIN, ANSWER, END], "2 events TurnStarted"),
        ([BEGIN, ASKS, START, ANSWER, END], "'c1' has no ToolFinished"),
        ([BEGIN, ASKS, FINISH, FINISH, END], "has a second ToolFinished"),
        ([BEGIN, ANSWER, START, FINISH, END], "ToolStarted of the call 'c1', for which no message"),
        ([BEGIN, ASKS, START, START, FINISH, END], "after it was started"),
        ([BEGIN, ASKS, ToolOutput("c1", "o"), FINISH, END], "which does not run"),
    ],
)
def test_an_invalid_turn_is_described(events: list[Event], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_turn(events)
