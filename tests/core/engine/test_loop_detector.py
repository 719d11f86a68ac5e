from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import ToolCall, ToolResult
from vmpilot.engine.loop_detector import MAX_BROKEN_ANSWERS, NUDGE_AT, STOP_AT, WAITED, LoopDetector


def run_turn(loop_detector: LoopDetector, steps: Iterable[tuple[str, str]], *, seconds: float = 0.0) -> list[str]:
    """Tool calls, each with its argument and result; returns the remarks on them."""
    remarks = []
    for n, text in steps:
        loop_detector.begin_answer(1)
        call, result = ToolCall("x", "work", ""), ToolResult("x", "work", text)
        remarks.append(loop_detector.remark_on(call, {"n": n}, result, seconds=seconds))
    return remarks


def limit_of(loop_detector: LoopDetector) -> str | None:
    return None if loop_detector.verdict is None else loop_detector.verdict.limit


def test_the_third_same_call_gets_a_remark_and_the_fifth_stops_the_turn() -> None:
    loop_detector = LoopDetector()
    remarks = run_turn(loop_detector, [("1", "same")] * 4)
    assert [bool(remark) for remark in remarks] == [False, False, True, True]
    assert "3 times" in remarks[2]
    assert limit_of(loop_detector) is None
    run_turn(loop_detector, [("1", "same")])
    assert loop_detector.verdict is not None
    assert (loop_detector.verdict.limit, loop_detector.verdict.maximum) == ("repeated_calls", STOP_AT)
    assert "work 5 times" in loop_detector.verdict.text


def test_arguments_are_the_same_however_they_are_written() -> None:
    loop_detector = LoopDetector()
    first, second = {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}
    for arguments in (first, second, first, second, first):
        loop_detector.begin_answer(1)
        loop_detector.remark_on(
            ToolCall("x", "work", str(arguments)), arguments, ToolResult("x", "work", ""), seconds=0
        )
    assert limit_of(loop_detector) == "repeated_calls"


def test_two_alternating_calls_are_a_loop_too() -> None:
    loop_detector = LoopDetector()
    run_turn(loop_detector, [("a", ""), ("b", "")] * 4)
    assert limit_of(loop_detector) is None
    run_turn(loop_detector, [("a", ""), ("b", "")])
    assert limit_of(loop_detector) == "repeated_calls"


def test_a_different_call_in_between_resets_the_count() -> None:
    loop_detector = LoopDetector()
    edits = [step for number in range(20) for step in [(f"edit {number}", "done"), ("test", "exit code 0")]]
    assert not any(run_turn(loop_detector, edits))
    assert loop_detector.verdict is None


def test_a_different_result_makes_a_different_call() -> None:
    loop_detector = LoopDetector()
    assert not any(run_turn(loop_detector, [("look", f"running for {number} s") for number in range(20)]))
    assert loop_detector.verdict is None


def test_a_call_that_took_time_is_not_a_loop() -> None:
    loop_detector = LoopDetector()
    for _ in range(20):
        assert not any(run_turn(loop_detector, [("sleep", "")], seconds=WAITED))
        assert not any(run_turn(loop_detector, [("look", "not yet")]))
    assert loop_detector.verdict is None


def test_the_same_calls_of_one_answer_count_once() -> None:
    loop_detector = LoopDetector()
    call, result = ToolCall("x", "work", "{}"), ToolResult("x", "work", "")
    loop_detector.begin_answer(9)
    assert not any(loop_detector.remark_on(call, {}, result, seconds=0.0) for _ in range(9))
    assert loop_detector.verdict is None


def answer(loop_detector: LoopDetector, *usable: bool) -> None:
    loop_detector.begin_answer(len(usable))
    for each in usable:
        (loop_detector.count_use if each else loop_detector.count_refusal)()


def test_three_answers_without_a_usable_call_stop_the_turn() -> None:
    loop_detector = LoopDetector()
    for calls in ([False], [False, False]):
        answer(loop_detector, *calls)
        assert loop_detector.verdict is None
    answer(loop_detector, False)
    assert loop_detector.verdict is not None
    assert (loop_detector.verdict.limit, loop_detector.verdict.maximum) == ("broken_answers", MAX_BROKEN_ANSWERS)


@pytest.mark.parametrize("between", [[True], [True, False], [False, True], []])
def test_a_usable_answer_resets_the_count(between: list[bool]) -> None:
    loop_detector = LoopDetector()
    for calls in ([False], [False], between, [False], [False]):
        answer(loop_detector, *calls)
    assert loop_detector.verdict is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=60))
def test_any_loop_over_few_calls_is_stopped(steps: list[tuple[str, str]]) -> None:
    """Between two new calls, each known call is made at most four times, and there are four calls in all."""
    loop_detector = LoopDetector()
    for number, step in enumerate(steps):
        if loop_detector.verdict is not None:
            break
        (remark,) = run_turn(loop_detector, [step])
        assert number <= sum(4 * known for known in range(1, 5)) + 1
        assert not remark or number >= NUDGE_AT - 1
