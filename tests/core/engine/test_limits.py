from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vmpilot.contract import ModelInfo, TurnStopped, Usage
from vmpilot.engine.limits import Limits, LimitStop, dollars, out_of_time

PRICED = ModelInfo(input_price=0.01, output_price=0.1)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def make_limits(told: list[str]) -> Callable[..., Limits]:
    """Makes limits that append their notices to `told`."""

    def make(**limits: Any) -> Limits:
        return Limits(**{"max_steps": 99, "model": "m", "tell": told.append, **limits})

    return make


def step(limits: Limits, usage: Usage | None, **more: Any) -> None:
    limits.begin_step()
    limits.end_step(usage, **more)


def test_the_step_beyond_the_limit_is_stopped_before_it_starts() -> None:
    limits = Limits(max_steps=2)
    for _ in range(2):
        step(limits, None)
    with pytest.raises(LimitStop, match="after 2 steps") as caught:
        limits.begin_step()
    assert isinstance(caught.value, TurnStopped)
    assert (caught.value.event.limit, caught.value.event.maximum) == ("steps", 2)
    assert "Send “continue” to resume, or raise the limit with --max-steps." in caught.value.event.text


def test_unsupervised_steps_are_stopped_when_they_end() -> None:
    limits = Limits(max_steps=1)
    limits.end_step(None)
    with pytest.raises(LimitStop):
        limits.end_step(Usage(7, 1))
    assert (limits.steps, limits.usage) == (1, Usage(7, 1))


def test_a_step_without_a_reported_end_counts() -> None:
    limits = Limits(max_steps=1)
    limits.begin_step()
    with pytest.raises(LimitStop):
        limits.begin_step()


def test_usage_adds_up() -> None:
    limits = Limits(max_steps=5)
    for usage in (Usage(1, 2, 3, 4), None, Usage(10, 20, 30, 40)):
        step(limits, usage)
    assert limits.usage == Usage(11, 22, 33, 44)


def test_tokens_in_and_out_are_limited(make_limits: Callable[..., Limits], told: list[str]) -> None:
    limits = make_limits(max_total_tokens=1_000)
    step(limits, Usage(500, 200))
    limits.begin_call()
    assert told == []
    limits.add_usage(Usage(100, 50))
    limits.begin_call()
    limits.begin_call()
    assert told == ["850 of the 1,000 tokens of this request are used (--max-total-tokens)."]
    step(limits, Usage(400, 0))
    with pytest.raises(LimitStop, match=r"Stopped after 1,250 tokens; the limit for one request is 1,000\.") as caught:
        limits.begin_step()
    assert (caught.value.event.limit, caught.value.event.maximum) == ("tokens", 1_000)
    assert "--max-total-tokens" in caught.value.event.text


def test_money_is_limited(make_limits: Callable[..., Limits], told: list[str]) -> None:
    limits = make_limits(max_cost=2.0, find_info=lambda _: PRICED)
    step(limits, Usage(50, 10))
    step(limits, Usage(10, 1))
    limits.begin_call()
    assert told == ["$1.70 of $2.00 are used (--max-cost)."]
    assert limits.cost == pytest.approx(1.7)
    limits.add_usage(Usage(31, 0))
    with pytest.raises(LimitStop, match=r"Stopped at \$2\.01; the limit for one request is \$2\.00\.") as caught:
        limits.begin_step()
    assert (caught.value.event.limit, caught.value.event.maximum) == ("money", 2.0)


def test_an_unknown_price_is_reported_once_at_the_start_and_assumed(
    make_limits: Callable[..., Limits], told: list[str]
) -> None:
    limits = make_limits(max_cost=0.01)
    step(limits, Usage(100, 10))
    step(limits, Usage(100, 100))
    (sentence,) = told
    assert "The price of m is unknown" in sentence
    assert "$15 per million input tokens and $75 per million output tokens" in sentence
    with pytest.raises(LimitStop, match="Stopped at"):
        limits.begin_step()
    assert limits.cost is None


def test_a_fallback_model_has_its_own_price(make_limits: Callable[..., Limits], told: list[str]) -> None:
    limits = make_limits(max_cost=100.0, find_info={"m": PRICED}.get)
    step(limits, Usage(10, 0))
    assert told == []
    step(limits, Usage(10, 0), model="other")
    assert ["The price of other" in sentence for sentence in told] == [True]


def test_unreported_usage_is_estimated_and_reported_once(make_limits: Callable[..., Limits], told: list[str]) -> None:
    limits = make_limits(max_total_tokens=250)
    for _ in range(2):
        step(limits, None, estimate=lambda: Usage(100, 50))
    assert [sentence for sentence in told if "does not report token usage" in sentence] == told
    assert len(told) == 1
    with pytest.raises(LimitStop, match="300 tokens"):
        limits.begin_step()
    assert (limits.usage, limits.cost) == (Usage(), None)


def test_without_limits_nothing_is_reported_and_no_price_looked_up(
    make_limits: Callable[..., Limits], told: list[str]
) -> None:
    limits = make_limits(find_info=lambda _: pytest.fail("asked"))
    step(limits, None)
    step(limits, Usage(10**15, 10**15))
    limits.begin_step()
    assert told == []


@pytest.mark.parametrize(("most", "warned_at"), [(10, 9), (25, 21), (9, None)])
def test_a_warning_precedes_the_step_limit_unless_it_is_low(
    make_limits: Callable[..., Limits], told: list[str], most: int, warned_at: int | None
) -> None:
    limits = make_limits(max_steps=most)
    warned = []
    for number in range(1, most + 1):
        step(limits, None)
        warned += [number] if told else []
    assert (warned[0] if warned else None) == warned_at
    assert told == (
        [] if warned_at is None else [f"{warned_at - 1} of the {most} steps of this request are used (--max-steps)."]
    )


def test_out_of_time() -> None:
    event = out_of_time(30.0)
    assert (event.limit, event.maximum) == ("seconds", 30.0)
    assert event.text == (
        "Stopped after 30 s, the limit for one request. "
        "Send “continue” to resume, or raise the limit with --max-seconds."
    )


@pytest.mark.parametrize(
    ("amount", "shown"), [(0.00012, "$0.0001"), (0.5, "$0.5000"), (1, "$1.00"), (1234.5, "$1,234.50")]
)
def test_dollars(amount: float, shown: str) -> None:
    assert dollars(amount) == shown
