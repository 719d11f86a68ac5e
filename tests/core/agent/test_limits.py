from __future__ import annotations

import pytest

from vmpilot.agent.limits import Limits, LimitStop
from vmpilot.contract import TurnStopped, Usage


def test_the_step_beyond_the_last_is_stopped_before_it_begins() -> None:
    limits = Limits(max_steps=2)
    for _ in range(2):
        limits.begin_step()
        limits.end_step(None)
    with pytest.raises(LimitStop, match="after 2 steps") as caught:
        limits.begin_step()
    assert isinstance(caught.value, TurnStopped)
    assert (caught.value.event.limit, caught.value.event.maximum) == ("steps", 2)


def test_steps_that_nobody_supervised_are_stopped_when_they_end() -> None:
    limits = Limits(max_steps=1)
    limits.end_step(None)
    with pytest.raises(LimitStop):
        limits.end_step(None)
    assert limits.steps == 1


def test_usage_adds_up_and_unknown_usage_counts_nothing() -> None:
    limits = Limits(max_steps=5)
    for usage in (Usage(1, 2, 3, 4), None, Usage(10, 20, 30, 40)):
        limits.end_step(usage)
    assert limits.usage == Usage(11, 22, 33, 44)
