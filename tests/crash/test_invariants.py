"""The checker itself: a valid history passes, and each kind of violation is detected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    Event,
    MessageCompleted,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from vmpilot.engine.history import MAY_HAVE_RUN, NEVER_STARTED

from .invariants import Evidence, violations


def asked(text: str) -> TurnStarted:
    return TurnStarted("c", "t", UserMessage((TextPart(text),)), "bare", "m", 0.0)


def call(mark: str) -> ToolCall:
    return ToolCall(f"call-{mark}", "shell", json.dumps({"command": f'echo {mark} >> "$EFFECTS"'}))


def said(*marks: str) -> MessageCompleted:
    return MessageCompleted(AssistantMessage(tool_calls=tuple(map(call, marks)), finish="tool_calls"))


def started(mark: str) -> ToolStarted:
    return ToolStarted(call(mark), f"$ echo {mark}", "full", 0.0)


def finished(mark: str, text: str = "[exit code 0]") -> ToolFinished:
    broken = text in {NEVER_STARTED, MAY_HAVE_RUN}
    result = ToolResult(f"call-{mark}", "shell", text, is_error=broken)
    return ToolFinished(result, 0.0, exit_code=None if broken else 0)


ANSWER = MessageCompleted(AssistantMessage("Done."))
END = TurnEnded("answered", 0.0)
CRASHED = (asked("one"), said("a", "b"), started("a"))
MENDED = (*CRASHED, finished("a", MAY_HAVE_RUN), finished("b", NEVER_STARTED))
SOUND = (*MENDED, asked("two"), said("c"), started("c"), finished("c"), ANSWER, END)


def judge(events: Sequence[Event], *, numbers: Sequence[int] | None = None, **rest: Any) -> tuple[str, ...]:
    given = {"asked": ("one", "two"), "effects": ("a", "c"), "resumed": True, **rest}
    entries = list(zip(numbers or range(1, len(events) + 1), events, strict=True))
    return violations(Evidence(log={"c": entries}, **given))


def test_valid_histories_pass() -> None:
    assert judge(SOUND, shown=SOUND) == ()
    assert judge(CRASHED, effects=(), resumed=False) == ()
    assert judge(CRASHED, effects=("a",), resumed=False) == ()
    assert judge((), effects=(), resumed=False) == ()


def tool_message(mark: str, text: str) -> dict[str, str]:
    boundary = "output-0123456789ab"
    return {"role": "tool", "tool_call_id": f"call-{mark}", "content": f"<{boundary}>\n{text}\n</{boundary}>"}


@pytest.mark.parametrize(
    ("invariant", "events", "rest"),
    [
        ("1", (*SOUND, asked("two"), END), {}),
        ("1", SOUND, {"asked": ("two", "one")}),
        ("1", SOUND, {"asked": ("one", "two", "three"), "shown": (asked("three"),)}),
        (
            "1",
            SOUND,
            {"asked": ("one", "two", "three"), "requests": [[{"role": "user", "content": "three"}]]},
        ),
        ("2", SOUND, {"shown": (finished("c", "[exit code 0; more]"),)}),
        ("2", SOUND, {"shown": (started("b"),)}),
        ("2", SOUND, {"requests": [[tool_message("c", "something else")]]}),
        ("2", SOUND, {"requests": [[{"role": "assistant", "tool_calls": [{"id": "call-z"}]}]]}),
        ("3", SOUND, {"effects": ("a", "b", "c")}),
        ("3", (asked("one"), started("a"), said("a"), finished("a"), ANSWER, END), {"asked": ("one",)}),
        ("3", (asked("one"), said("a"), finished("a"), ANSWER, END), {"asked": ("one",), "effects": ()}),
        ("4", SOUND, {"effects": ("a", "c", "a")}),
        ("4", (*SOUND[:-2], started("c"), ANSWER, END), {}),
        ("5", (*SOUND[:-2], finished("c"), ANSWER, END), {}),
        ("5", (*CRASHED, asked("two"), ANSWER, END), {}),
        ("5", (*CRASHED, finished("a", NEVER_STARTED), finished("b", NEVER_STARTED), asked("two"), END), {}),
        ("5", (*CRASHED, finished("a", MAY_HAVE_RUN), finished("b", MAY_HAVE_RUN), asked("two"), END), {}),
        ("6", SOUND, {"faults": ("request 1: assistant must not follow assistant",)}),
        ("8", SOUND, {"numbers": [*range(1, len(SOUND)), len(SOUND) + 1]}),
        ("8", SOUND, {"crashes": 0}),
        ("8", SOUND[:-1], {}),
        ("8", (*SOUND, ANSWER), {}),
        ("9", (*CRASHED, started("b")), {"effects": ("a", "b"), "resumed": False}),
    ],
)
def test_each_violation_is_detected(invariant: str, events: Sequence[Event], rest: dict[str, Any]) -> None:
    found = judge(events, **rest)
    assert any(one.startswith(f"{invariant}: ") for one in found), found
