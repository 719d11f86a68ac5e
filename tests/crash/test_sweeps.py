"""At each system call with which a run changes the disk, the run is killed once and the disk fails once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import NewMachine, Tally
from .invariants import violations
from .machine import Machine
from .points import Point, find_points, thin_out
from .verdicts import cannot_go_on, ended_badly

SLICES = 2
KILL = "signal=SIGKILL"
ALL = 200
"""With this many `--crashes` the sweeps omit nothing."""


@pytest.fixture
def before(new_machine: NewMachine, turn: str) -> Callable[[], Machine]:
    """Makes machines in the state before this turn."""
    template = new_machine()
    if turn == "second":
        assert template.run("first").code == 0

    def make() -> Machine:
        machine = new_machine()
        if turn == "second":
            machine.copy_from(template)
        return machine

    return make


def chosen(points: list[Point], crashes: int, *, many: int, few: int) -> list[Point]:
    """The points to try: all of them if enough kills were requested, otherwise a part."""
    return points if crashes >= ALL else thin_out(points, many=many, few=few)


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("turn", ["first", "second"])
def test_killed_at_each_write(
    before: Callable[[], Machine], turn: str, part: int, crashes: int, tally: Callable[[str], Tally]
) -> None:
    count = tally("kill -9 at a write")
    points = chosen(find_points(before(), turn), crashes, many=7, few=1)
    for point in points[part::SLICES]:
        machine = before()
        run = machine.run(turn, *point.options(KILL, machine.data))
        left = machine.wait_for_the_dead()
        odd = [] if run.code in {0, -9} else [f"9: it ended with {run}"]
        crashed = violations(machine.evidence(resumed=False))
        count.add(f"{turn} turn, {point}", odd, left, crashed, cannot_go_on(machine), reached=run.code == -9)
    count.check()


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("turn", ["first", "second"])
@pytest.mark.parametrize(("error", "for_good"), [("ENOSPC", True), ("EIO", False)])
def test_the_disk_fails_at_each_write(
    before: Callable[[], Machine],
    *,
    turn: str,
    part: int,
    error: str,
    for_good: bool,
    crashes: int,
    tally: Callable[[str], Tally],
) -> None:
    count = tally(f"{error}{', for good' if for_good else ', once'}")
    points = chosen(find_points(before(), turn), crashes, many=25, few=2)
    for point in points[part::SLICES]:
        machine = before()
        run = machine.run(turn, *point.options(f"error={error}", machine.data, for_good=for_good))
        left = machine.wait_for_the_dead()
        failed = violations(machine.evidence(resumed=run.code == 0))
        found = (left, failed, ended_badly(run), cannot_go_on(machine))
        count.add(f"{turn} turn, {point}", *found, reached=run.code != 0)
    count.check()
