"""How long to wait before the next try of one call: exponential with jitter, the provider's word as a floor."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

from vmpilot.contract import ModelError, ProviderUnavailable, RateLimited, RetryPolicy

_FIRST = 0.5
"""Seconds before the second try, at least; each later wait is twice as long."""

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class Backoff:
    """The tries of one call to one model; `attempt` is the number of the one that is under way."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._left = policy.total_seconds
        self.attempt = 1

    def delay_after(self, error: ModelError) -> float:
        """Seconds until the next try. Raises the error where trying again is of no use or not allowed."""
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
    """The error with the local time at which to ask again, where the provider told one."""
    if not isinstance(error, RateLimited | ProviderUnavailable) or seconds < 1.0:
        return error
    told = type(error)(f"{error}: ask again at {resume_time(seconds)}", retry_after=error.retry_after)
    told.__cause__ = error
    return told


def resume_time(seconds: float, *, now: datetime | None = None) -> str:
    """The local time in so many seconds, as in `14:05 (in 55 minutes)`; with its date where that is another day."""
    now = now or datetime.now().astimezone()
    try:
        moment = now + timedelta(seconds=seconds)
    except OverflowError:
        return f"a far day (in {seconds / 86_400:,.0f} days)"
    if seconds >= 60:  # the minute is rounded up, so that it is not too early
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
