"""How long to wait before a retry: exponential backoff with jitter, and at least as long as the provider asks for."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

from vmpilot.contract import ModelError, ProviderUnavailable, RateLimited, RetryPolicy

_FIRST = 0.5
"""Minimum seconds before the first retry; the wait doubles with each further retry."""

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class Backoff:
    """The attempts of one call to one model; `attempt` is the number of the current one."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._left = policy.total_seconds
        self.attempt = 1

    def delay_after(self, error: ModelError) -> float:
        """Seconds until the next attempt. Raises the error if a retry is useless or not allowed."""
        if not error.retryable:
            raise error
        asked_for = _asked_for(error)
        jitter = random.uniform(1.0, 1.5)  # noqa: S311  no secret
        delay: float = max(asked_for, _FIRST * 2 ** (self.attempt - 1) * jitter)
        if self.attempt >= self._policy.attempts or delay > self._left:
            raise _with_time(error, asked_for)
        self._left -= delay
        self.attempt += 1
        return delay


def _asked_for(error: ModelError) -> float:
    return (error.retry_after or 0.0) if isinstance(error, RateLimited | ProviderUnavailable) else 0.0


def _with_time(error: ModelError, seconds: float) -> ModelError:
    """The error with the local time at which to try again, if the provider gave one."""
    if not isinstance(error, RateLimited | ProviderUnavailable) or seconds < 1.0:
        return error
    timed = type(error)(f"{error}; try again at {resume_time(seconds)}", retry_after=error.retry_after)
    timed.__cause__ = error
    return timed


def resume_time(seconds: float, *, now: datetime | None = None) -> str:
    """The local time after this many seconds, as in `14:05 (in 55 minutes)`, with the date if it is not today."""
    now = now or datetime.now().astimezone()
    try:
        moment = now + timedelta(seconds=seconds)
    except OverflowError:
        return f"a later date (in {seconds / 86_400:,.0f} days)"
    if seconds >= 60:  # rounded up to the minute, so that it is not too early
        moment += timedelta(seconds=-moment.second % 60)
        written = f"{moment:%H:%M}"
    else:
        written = f"{moment:%H:%M:%S}"
    day = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{written} (in {_in_words(seconds)})"


def _in_words(seconds: float) -> str:
    name, size = next((unit for unit in _UNITS if seconds >= 2 * unit[1]), _UNITS[-1])
    number = math.ceil(seconds / size)
    return f"{number:,} {name}{'' if number == 1 else 's'}"
