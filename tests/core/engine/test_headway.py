from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import ToolCall, ToolResult
from vmpilot.engine.headway import MAX_BROKEN_ANSWERS, NUDGE_AT, STOP_AT, WAITED, Headway


def play(headway: Headway, steps: Iterable[tuple[str, str]], *, seconds: float = 0.0) -> list[str]:
    """Calls of a tool, each with its argument and its result; the remarks on them."""
    remarks = []
    for n, text in steps:
        headway.begin_answer(1)
        call, result = ToolCall("x", "work", ""), ToolResult("x", "work", text)
        remarks.append(headway.remark_on(call, {"n": n}, result, seconds=seconds))
    return remarks


def limit_of(headway: Headway) -> str | None:
    return None if headway.verdict is None else headway.verdict.limit


def test_the_third_same_call_gets_a_remark_and_the_fifth_stops_the_turn() -> None:
    headway = Headway()
    remarks = play(headway, [("1", "same")] * 4)
    assert [bool(remark) for remark in remarks] == [False, False, True, True]
    assert "3 times" in remarks[2]
    assert limit_of(headway) is None
    play(headway, [("1", "same")])
    assert headway.verdict is not None
    assert (headway.verdict.limit, headway.verdict.maximum) == ("repeated_calls", STOP_AT)
    assert "work 5 times" in headway.verdict.text


def test_arguments_are_the_same_however_they_are_written() -> None:
    headway = Headway()
    first, second = {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}
    for arguments in (first, second, first, second, first):
        headway.begin_answer(1)
        headway.remark_on(ToolCall("x", "work", str(arguments)), arguments, ToolResult("x", "work", ""), seconds=0)
    assert limit_of(headway) == "repeated_calls"


def test_two_calls_in_turns_are_a_loop_too() -> None:
    headway = Headway()
    play(headway, [("a", ""), ("b", "")] * 4)
    assert limit_of(headway) is None
    play(headway, [("a", ""), ("b", "")])
    assert limit_of(headway) == "repeated_calls"


def test_what_is_new_between_them_begins_the_count_anew() -> None:
    headway = Headway()
    edits = [step for number in range(20) for step in [(f"edit {number}", "done"), ("test", "exit code 0")]]
    assert not any(play(headway, edits))
    assert headway.verdict is None


def test_another_result_is_another_call() -> None:
    headway = Headway()
    assert not any(play(headway, [("look", f"running for {number} s") for number in range(20)]))
    assert headway.verdict is None


def test_a_call_that_took_time_is_no_loop() -> None:
    headway = Headway()
    for _ in range(20):
        assert not any(play(headway, [("sleep", "")], seconds=WAITED))
        assert not any(play(headway, [("look", "not yet")]))
    assert headway.verdict is None


def test_the_same_calls_of_one_answer_count_once() -> None:
    headway = Headway()
    call, result = ToolCall("x", "work", "{}"), ToolResult("x", "work", "")
    headway.begin_answer(9)
    assert not any(headway.remark_on(call, {}, result, seconds=0.0) for _ in range(9))
    assert headway.verdict is None


def answer(headway: Headway, *usable: bool) -> None:
    headway.begin_answer(len(usable))
    for each in usable:
        (headway.count_use if each else headway.count_refusal)()


def test_three_answers_of_which_nothing_can_be_used_stop_the_turn() -> None:
    headway = Headway()
    for calls in ([False], [False, False]):
        answer(headway, *calls)
        assert headway.verdict is None
    answer(headway, False)
    assert headway.verdict is not None
    assert (headway.verdict.limit, headway.verdict.maximum) == ("broken_answers", MAX_BROKEN_ANSWERS)


@pytest.mark.parametrize("between", [[True], [True, False], [False, True], []])
def test_an_answer_that_can_be_used_begins_the_count_anew(between: list[bool]) -> None:
    headway = Headway()
    for calls in ([False], [False], between, [False], [False]):
        answer(headway, *calls)
    assert headway.verdict is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=60))
def test_few_calls_for_ever_are_always_stopped(steps: list[tuple[str, str]]) -> None:
    """Between two new ones each that is known is made four times at most; there are four in all."""
    headway = Headway()
    for number, step in enumerate(steps):
        if headway.verdict is not None:
            break
        (remark,) = play(headway, [step])
        assert number <= sum(4 * known for known in range(1, 5)) + 1
        assert not remark or number >= NUDGE_AT - 1
