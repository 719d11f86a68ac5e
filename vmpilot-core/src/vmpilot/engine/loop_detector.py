"""Detects turns that make no progress: unusable answers, and calls that repeat with the same result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from vmpilot.contract import LimitReached, ToolCall, ToolResult

MAX_BROKEN_ANSWERS = 3
NUDGE_AT = 3
STOP_AT = 5
WAITED = 5.0
"""After a call that took this many seconds, earlier results may be outdated."""

_NUDGE = (
    "[VMPilot: you made this same call {count} times with the same result. Repeating it will not help: do "
    "something else, or tell the user what blocks you. After {most} times, the turn is stopped.]"
)
_BROKEN = (
    "Stopped: the model's last {count} answers had no usable tool call, so nothing was run. Send “continue” to try "
    "again, or choose another model with --model."
)
_REPEATED = (
    "Stopped: the model repeated the same call of {name} {count} times, with the same result each time. Tell it what "
    "to do instead, or send “continue” to resume."
)


class LoopDetector:
    """Follows one turn.

    An answer is broken if it has calls and each was rejected before the user was asked: invalid, unknown, or in a
    message that did not end properly. Any other answer resets the count.

    Two calls are the same if their tool, parsed arguments and result are; within one answer they count once. Calls
    between them do not matter unless they are new: a call with a new result in this turn, or one that took time, resets
    all counts. So A B A B is a loop; edit, test, edit, test is not, and neither is waiting for a job, which reports how
    long it has been running.
    """

    def __init__(self) -> None:
        self._calls = self._refused = self._broken = 0
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._in_answer: set[str] = set()
        self._stuck = ""

    def begin_answer(self, calls: int) -> None:
        """The model returned an answer with this many calls."""
        self._calls, self._refused = calls, 0
        self._in_answer.clear()
        if not calls:
            self._broken = 0

    def count_refusal(self) -> None:
        """A call of the answer could not be used."""
        self._refused += 1
        if self._refused == self._calls:
            self._broken += 1

    def count_use(self) -> None:
        """A call of the answer could be used, whatever its result."""
        self._broken = 0

    def remark_on(
        self, call: ToolCall, arguments: Mapping[str, Any] | None, result: ToolResult, *, seconds: float
    ) -> str:
        """Count a call that ran for this many seconds; return a remark for the model on its result, usually empty."""
        understood = call.arguments if arguments is None else json.dumps(arguments, sort_keys=True)
        outcome = _digest(call.name, understood, result.text)
        if seconds >= WAITED or outcome not in self._seen:
            self._counts.clear()
        self._seen.add(outcome)
        if seconds >= WAITED:
            return ""
        if outcome not in self._in_answer:
            self._counts[outcome] += 1
        self._in_answer.add(outcome)
        count = self._counts[outcome]
        if count >= STOP_AT:
            self._stuck = call.name
        return _NUDGE.format(count=count, most=STOP_AT) if count >= NUDGE_AT else ""

    @property
    def verdict(self) -> LimitReached | None:
        """Why the turn must stop before the next call to the model; None if it may continue."""
        if self._broken >= MAX_BROKEN_ANSWERS:
            return LimitReached("broken_answers", MAX_BROKEN_ANSWERS, _BROKEN.format(count=self._broken))
        if self._stuck:
            return LimitReached("repeated_calls", STOP_AT, _REPEATED.format(name=self._stuck[:100], count=STOP_AT))
        return None


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
