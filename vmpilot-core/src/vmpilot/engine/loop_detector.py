"""Whether a turn gets anywhere: answers of which nothing can be used, and calls that bring the same again and again."""

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
"""Seconds from which on a call has let time pass, so that what was seen before may have changed since."""

_NUDGE = (
    "[VMPilot: this very call was made {count} times with this very result. Making it again brings nothing new: do "
    "something else, or tell the user what stands in the way. At {most} times the turn is stopped.]"
)
_BROKEN = (
    "Stopped: the last {count} answers of the model asked for tools in a way that could not be used, and nothing of "
    "them was run. Say “continue” to try again, or choose another model with --model."
)
_REPEATED = (
    "Stopped: the model called {name} {count} times in the same way, with the same result each time. Say what it "
    "should do instead, or “continue” to go on."
)


class LoopDetector:
    """Follows one turn.

    An answer is broken if it asks for tools and each of its calls was refused before anybody was asked about it:
    unreadable, unknown, or of a message that did not end properly. Any other answer begins the count anew.

    Two calls are the same if tool, arguments (as they are understood) and result are; those of one answer count once.
    Whatever lies between them does not matter unless it is new: a call that was not seen in this turn with this result,
    or one that took time, begins all counts anew. So A B A B is a loop; edit, test, edit, test is none, nor is waiting
    for a job, which tells for how long it runs.
    """

    def __init__(self) -> None:
        self._calls = self._refused = self._broken = 0
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._in_answer: set[str] = set()
        self._stuck = ""

    def begin_answer(self, calls: int) -> None:
        """The model gave an answer that asks for so many tools."""
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
        """A call of the answer could be used, whatever came of it."""
        self._broken = 0

    def remark_on(
        self, call: ToolCall, arguments: Mapping[str, Any] | None, result: ToolResult, *, seconds: float
    ) -> str:
        """Count a call that ran for so long; what the model is to be told behind its result, empty as a rule."""
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
        """Why the turn must stop before the next call to the model, None where it need not."""
        if self._broken >= MAX_BROKEN_ANSWERS:
            return LimitReached("broken_answers", MAX_BROKEN_ANSWERS, _BROKEN.format(count=self._broken))
        if self._stuck:
            return LimitReached("repeated_calls", STOP_AT, _REPEATED.format(name=self._stuck[:100], count=STOP_AT))
        return None


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
