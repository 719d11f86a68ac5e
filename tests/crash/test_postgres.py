"""The log in PostgreSQL: the client is killed at any moment, or the server during a turn; then both continue."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from threading import Timer

import pytest
from tests.postgres_server import PostgresServer

from .conftest import SEED, NewMachine, Tally
from .invariants import violations
from .machine import Machine, Run
from .script import COMMANDS, SHORT
from .verdicts import cannot_go_on, ended_badly

PARTS = 2
SHARE = 2
"""One point here per this many of the requested random kills."""
LONGEST = {"working": 0.9, "printing": 0.5}
"""Seconds in which a run can usefully be interrupted; other kinds take less."""
SHORTER = 0.25


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """A different seed in each run of the tests, shown in the summary."""
    given = request.config.getoption("--crash-seed", default=None)
    seed = secrets.randbits(32) if given is None else given
    request.node.user_properties.append((SEED, seed))
    return random.Random(f"{seed} {request.node.name}")


@pytest.mark.parametrize("part", range(PARTS))
def test_the_client_is_killed(
    *,
    new_machine: NewMachine,
    postgres: PostgresServer,
    chance: random.Random,
    part: int,
    crashes: int,
    tally: Callable[[str], Tally],
) -> None:
    count = tally("PostgreSQL, client killed")
    for number in range(part, crashes // SHARE, PARTS):
        machine = new_machine(chance.choice(sorted(COMMANDS)), database_url=postgres.new_database())
        turns = chance.choice((1, 2))
        found: list[str] = []
        for turn in range(1, turns + 1):
            run = machine.run(f"request {turn}", kill_after=chance.uniform(0, LONGEST.get(machine.kind, SHORTER)))
            found += machine.wait_for_the_dead()
            found += [] if run.code in {0, -9} or was_in_use(run) else [f"9: it ended with {run}"]
            found += violations(machine.evidence(resumed=False, crashes=turn))
        count.add(f"{number}, {machine.kind}", found, cannot_go_on(machine, crashes=turns), reached=run.code == -9)
    count.check()


def was_in_use(run: Run) -> bool:
    """The server had not yet noticed that the previous run was dead."""
    return run.code == 2 and "is in use by process" in run.errors


@pytest.mark.parametrize("part", range(PARTS))
def test_the_server_is_killed_during_a_turn(
    *,
    new_machine: NewMachine,
    postgres: PostgresServer,
    chance: random.Random,
    part: int,
    crashes: int,
    tally: Callable[[str], Tally],
) -> None:
    count = tally("PostgreSQL, server killed")
    for number in range(part, crashes // SHARE, PARTS):
        kind = chance.choice((SHORT, "failing", "printing", "talking", "working"))
        machine = new_machine(kind, database_url=postgres.new_database())
        begun = chance.choice((True, False))
        if begun:
            assert machine.run("before").code == 0
        run = run_and_crash(machine, postgres, after=chance.uniform(0.0, LONGEST.get(kind, SHORTER)))
        left = machine.wait_for_the_dead()
        crashed = violations(machine.evidence(resumed=run.code == 0))
        found = (left, ended_badly(run), crashed, cannot_go_on(machine))
        count.add(f"{number}, {kind}, begun {begun}", *found, reached=run.code != 0)
    count.check()


def run_and_crash(machine: Machine, server: PostgresServer, *, after: float) -> Run:
    """Run with the server killed meanwhile; it is restarted before this returns, but not before the run ends."""
    timer = Timer(after, server.crash)
    run = machine.run("first", at_go=timer.start)
    timer.join()
    server.start()
    return run
