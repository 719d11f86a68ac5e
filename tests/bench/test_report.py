"""Aims refer to the right column, and a missed aim is reported."""

from __future__ import annotations

import pytest
from bench.aims import Aim, AtLeastTimes, AtMost, AtMostMore, AtMostTimes
from bench.measures import Row
from bench.programs import PROGRAMS
from bench.report import Line, write_table, write_verdict

VMPILOT = next(program for program in PROGRAMS if program.name == "vmpilot litellm")
BARE = next(program for program in PROGRAMS if program.name == "bare litellm")


def make_line(aim: Aim | None, *, beside: str | None = None, **samples: list[float]) -> Line:
    row = Row("wall", "a turn", "ms", aim, beside=beside)
    return Line("turns", row, {name.replace("_", " "): values for name, values in samples.items()})


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [
        (AtMost(12), 12.0, True),
        (AtMost(12), 12.1, False),
        (AtMostTimes(1.5), 15.0, True),
        (AtMostTimes(1.5), 15.1, False),
        (AtLeastTimes(0.5), 5.0, True),
        (AtLeastTimes(0.5), 4.9, False),
        (AtMostMore(40), 50.0, True),
        (AtMostMore(40), 50.1, False),
    ],
)
def test_aim_refers_to_the_bare_loop(aim: Aim, value: float, met: bool) -> None:
    line = make_line(aim, bare_litellm=[10.0], bare_langchain=[1_000.0], vmpilot_litellm=[value])
    assert line.is_met_by(VMPILOT) is met


def test_row_may_name_another_column() -> None:
    line = make_line(
        AtMostTimes(4), beside="bare stdlib", bare_stdlib=[10.0], bare_litellm=[1.0], vmpilot_litellm=[40.0]
    )
    assert line.is_met_by(VMPILOT) is True


def test_bare_loop_has_no_aim() -> None:
    assert make_line(AtMost(12), bare_litellm=[10.0]).is_met_by(BARE) is None


def test_aim_without_a_bare_loop_is_not_counted() -> None:
    line = make_line(AtMostTimes(4), vmpilot_litellm=[40.0])
    assert line.is_met_by(VMPILOT) is None
    assert write_verdict([line]) == "0 of 0 aims met"


def test_table_shows_the_median() -> None:
    table = write_table([make_line(AtMost(12), vmpilot_litellm=[9.0, 99.0, 11.0])])
    assert table.splitlines()[1].split() == ["a", "turn", "ms", "≤", "12", "-", "-", "11.0", "✓", "-", "-"]


def test_missed_aim_is_reported() -> None:
    met, missed = make_line(AtMost(12), vmpilot_litellm=[9.0]), make_line(AtMost(12), vmpilot_litellm=[13.0])
    assert write_verdict([met, missed]).splitlines() == [
        "1 of 2 aims met",
        "  missed: a turn: vmpilot litellm 13.0 ms (aim ≤ 12)",
    ]
