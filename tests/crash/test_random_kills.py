"""Runs of many kinds, killed at any moment, several times in a row; and processes that outlive them."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable, Iterator

import pytest

from .conftest import SEED, NewMachine, Tally
from .invariants import violations
from .machine import Machine
from .script import COMMANDS
from .verdicts import cannot_go_on

WORKERS = 5
LONGEST = {"short": 0.4, "failing": 0.4, "printing": 0.6, "working": 1.3, "sleeping": 0.4, "scattering": 0.4}
"""Seconds in which a run of each kind can usefully be interrupted; the other kind is `talking`."""
COLD_START = 0.8
"""Additional seconds for the start of Python, which every fifth run includes."""


@pytest.mark.parametrize("part", range(WORKERS))
def test_killed_at_random(
    new_machine: NewMachine, part: int, crashes: int, request: pytest.FixtureRequest, tally: Callable[[str], Tally]
) -> None:
    given = request.config.getoption("--crash-seed", default=None)
    seed = secrets.randbits(32) if given is None else given
    request.node.user_properties.append((SEED, seed))
    chance = random.Random(f"{seed} {part}")
    count = tally("kill -9 at random")
    for number in range(part, crashes, WORKERS):
        machine = new_machine(chance.choice(sorted(COMMANDS)))
        ends = list(_break(machine, chance, cold=number % 5 == 0))
        found = [one for _, some in ends for one in some]
        where = f"seed {seed}, {number}, {machine.kind}"
        count.add(where, found, cannot_go_on(machine, crashes=len(ends)), reached=any(killed for killed, _ in ends))
    count.check()


def _break(machine: Machine, chance: random.Random, *, cold: bool) -> Iterator[tuple[bool, Iterable[str]]]:
    """Run and kill one to three times; yield for each run whether it was killed, and the violations."""
    longest = LONGEST.get(machine.kind, 0.6)
    for turn in range(1, chance.choice((2, 3, 4))):
        if cold:
            run = machine.run_cold(f"request {turn}", kill_after=chance.uniform(0.1, COLD_START + longest))
        else:
            run = machine.run(f"request {turn}", kill_after=chance.uniform(0, longest))
        left = machine.wait_for_the_dead()
        odd = [] if run.code in {0, -9} else [f"9: it ended with {run}"]
        yield run.code == -9, [*left, *odd, *violations(machine.evidence(resumed=False, crashes=turn))]


@pytest.mark.parametrize("kind", ["sleeping", "scattering"])
def test_no_command_outlives_a_kill(new_machine: NewMachine, kind: str) -> None:
    machine = new_machine(kind)
    run = machine.run("first", kill_after=1.0)
    assert run.code == -9
    assert machine.evidence(resumed=False).effects
    assert machine.wait_for_the_dead() == ()
    assert tuple(cannot_go_on(machine)) == ()
