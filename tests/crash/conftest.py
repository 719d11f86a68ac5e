"""Fixtures of the crash tests: one model server and one warm program per worker, and a summary at the end."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from tests.postgres_server import make_server, postgres

from vmpilot.testing import ScriptedServer

from .machine import Machine, WarmProgram
from .script import SHORT, answer

__all__ = ["make_server", "postgres"]

FIGURES = "crash figures"
SEED = "crash seed"


class NewMachine(Protocol):
    def __call__(self, kind: str = SHORT, *, database_url: str | None = None) -> Machine: ...


class Tally:
    """Counts what one test tried, and collects violations."""

    def __init__(self, kind: str, properties: list[tuple[str, object]]) -> None:
        self._kind = kind
        self._properties = properties
        self._tried = 0
        self._reached = 0
        self._violations: list[str] = []

    def add(self, point: str, *found: Iterable[str], reached: bool) -> None:
        """Record one completed point; `reached` says whether the run was interrupted there."""
        self._tried += 1
        self._reached += reached
        self._violations += [f"{point}: {one}" for some in found for one in some]

    def check(self) -> None:
        """Report the figures; fail if there were any violations."""
        figures = {"tried": self._tried, "broken": self._reached, "violations": len(self._violations)}
        self._properties.append((FIGURES, (self._kind, figures)))
        assert self._tried
        assert not self._violations, "\n".join(self._violations)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crashes",
        type=int,
        default=25,
        help="number of random kills; from 200 on, the sweeps omit no system call either",
    )
    parser.addoption("--crash-seed", type=int, default=None, help="repeat the random kills with this seed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    totals: dict[str, Counter[str]] = {}
    seeds: set[str] = set()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, value in getattr(report, "user_properties", ()):
            if name == FIGURES and report.when == "call":
                totals.setdefault(value[0], Counter()).update(value[1])
            if name == SEED:
                seeds.add(str(value))
    if totals:
        terminalreporter.section("crashes")
    for kind, total in sorted(totals.items()):
        figures = "points {tried:>4}, broken {broken:>4}, violations {violations:>3}".format_map(total)
        terminalreporter.write_line(f"{kind:<24} {figures}")
    if seeds:
        terminalreporter.write_line(f"seeds of the random kills: {', '.join(sorted(seeds))}")


@pytest.fixture
def crashes(request: pytest.FixtureRequest) -> int:
    """The requested number of random kills."""
    return int(request.config.getoption("--crashes", default=25))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str], Tally]:
    """Makes a tally for a test; the summary lists it under this name."""
    return lambda kind: Tally(kind, request.node.user_properties)


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedServer]:
    """The model's server; its faults are checked after each point."""
    server = ScriptedServer([answer], repeat_last=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def warm(sample_folders: Callable[..., tuple[Path, ...]]) -> Iterator[WarmProgram]:
    program = WarmProgram(os.pathsep.join(map(str, sample_folders("bare"))))
    yield program
    program.close()


@pytest.fixture
def new_machine(tmp_path: Path, warm: WarmProgram, model: ScriptedServer) -> Iterator[NewMachine]:
    """Makes machines; their folders are removed after a test that passed."""
    made: list[Machine] = []

    def make(kind: str = SHORT, *, database_url: str | None = None) -> Machine:
        made.append(Machine(tmp_path / str(len(made)), warm, model, kind, database_url))
        return made[-1]

    yield make
    for machine in made:
        shutil.rmtree(machine.home)
