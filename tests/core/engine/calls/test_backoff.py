from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from vmpilot.contract import (
    BadResponse,
    InvalidRequest,
    ModelError,
    ProviderUnavailable,
    RateLimited,
    RetryPolicy,
    StreamInterrupted,
)
from vmpilot.engine.calls import Backoff
from vmpilot.engine.calls._backoff import resume_time

AFTERNOON = datetime(2026, 11, 23, 13, 9, 30).astimezone()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "13:09:30 (in 1 second)"),
        (20.0, "13:09:50 (in 20 seconds)"),
        (90.0, "13:11 (in 90 seconds)"),
        (3_300.0, "14:05 (in 55 minutes)"),
        (7_200.0, "15:10 (in 2 hours)"),
        (43_200.0, "2026-11-24 01:10 (in 12 hours)"),
        (200_000.0, "2026-11-25 20:43 (in 3 days)"),
        (1e15, "a later date (in 11,574,074,074 days)"),
    ],
)
def test_the_retry_time_is_a_time_of_day(seconds: float, told: str) -> None:
    assert resume_time(seconds, now=AFTERNOON) == told


def test_the_retry_time_is_never_too_early() -> None:
    for seconds in range(60, 600, 7):
        told = resume_time(seconds, now=AFTERNOON).partition(" ")[0]
        moment = AFTERNOON.replace(hour=int(told[:2]), minute=int(told[3:]), second=0)
        assert timedelta(0) <= moment - (AFTERNOON + timedelta(seconds=seconds)) < timedelta(minutes=1)


def test_waits_grow_and_differ() -> None:
    delays = []
    for _ in range(50):
        backoff = Backoff(RetryPolicy(attempts=3))
        delays.append([backoff.delay_after(BadResponse("x")) for _ in range(2)])
        assert backoff.attempt == 3
    assert all(0.5 <= first <= 0.75 and 1.0 <= second <= 1.5 for first, second in delays)
    assert len({first for first, _ in delays}) > 1


def test_the_total_wait_of_all_attempts_is_limited() -> None:
    backoff = Backoff(RetryPolicy(attempts=100, total_seconds=30.0))
    for _ in range(2):
        assert backoff.delay_after(RateLimited("later", retry_after=12.0)) == 12.0
    with pytest.raises(RateLimited, match=r"later; try again at \d\d:\d\d:\d\d \(in 12 seconds\)"):
        backoff.delay_after(RateLimited("later", retry_after=12.0))


@pytest.mark.parametrize("kind", [RateLimited, ProviderUnavailable])
def test_a_wait_that_is_too_long_is_reported_and_not_started(kind: type[RateLimited | ProviderUnavailable]) -> None:
    error = kind("Slow down", retry_after=3_300.0)
    with pytest.raises(kind, match=r"Slow down; try again at .*\d\d:\d\d \(in 55 minutes\)") as caught:
        Backoff(RetryPolicy()).delay_after(error)
    assert isinstance(caught.value, RateLimited | ProviderUnavailable)
    assert caught.value.retry_after == 3_300.0
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RateLimited("x"), RateLimited("x", retry_after=0.2), StreamInterrupted("x")])
def test_an_error_without_a_retry_time_is_unchanged(error: ModelError) -> None:
    with pytest.raises(type(error)) as caught:
        Backoff(RetryPolicy(attempts=1)).delay_after(error)
    assert str(caught.value) == "x"


def test_a_permanent_error_is_not_retried() -> None:
    error = InvalidRequest("no")
    with pytest.raises(InvalidRequest) as caught:
        Backoff(RetryPolicy()).delay_after(error)
    assert caught.value is error
