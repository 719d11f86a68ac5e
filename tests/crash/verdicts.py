"""Violations of a run with a failing disk, and of the run that continues after a crash."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpilot.contract import TurnEnded

from .invariants import violations
from .machine import Machine, Run


def ended_badly(run: Run) -> Iterator[str]:
    """9: a failing disk ends the run with an error message that says so, unless the turn was already over."""
    ends = [event for event in run.shown if isinstance(event, TurnEnded)]
    if run.code == 0 and ends and ends[-1].reason == "answered":
        return
    if run.code not in {1, 2}:
        yield f"9: it ended with {run.code}"
    sentences = [line for line in run.errors.splitlines() if line.startswith("vmpilot: ")]
    sentences += [event.error for event in ends if event.error]
    if not any(re.search(r"try again\.?$|\. Free some space", sentence) for sentence in sentences):
        yield f"9: no sentence says what happened and what to do: {run.errors!r} {ends[-1:]}"
    if "Traceback" in run.errors:
        yield f"9: a traceback: {run.errors[-300:]!r}"


def cannot_go_on(machine: Machine, *, crashes: int = 1) -> Iterator[str]:
    """The run after the crash: it works, and all invariants hold afterwards."""
    run = machine.go_on()
    if run.code != 0 or run.errors:
        yield f"7: it cannot go on: {run.code} {run.errors!r}"
    yield from violations(machine.evidence(resumed=run.code == 0, crashes=crashes))
