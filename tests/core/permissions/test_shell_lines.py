"""Which shell lines run unasked, and how confined: benign ones, and hostile ones by their trick."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vmpilot.contract import RunsCommand
from vmpilot.permissions import Decision

from .benign_lines import CHANGING, MACHINE, READING
from .conftest import MakePolicy
from .hostile_paths import PLACES
from .hostile_programs import PROGRAMS
from .hostile_shell import SHELL

TRICKS = [*SHELL, *PROGRAMS, *PLACES]
HOSTILE = [
    pytest.param(line, id=f"{trick.name}: {line[:40]!a}") for trick in TRICKS for line in dict.fromkeys(trick.lines)
]


@pytest.mark.parametrize("line", READING)
def test_reading_runs_unasked_and_can_change_nothing(line: str, decide: Callable[[str], Decision]) -> None:
    decision = decide(line)
    assert (decision.action, decision.confinement) == ("allow", "read"), decision.reason


@pytest.mark.parametrize("line", CHANGING)
def test_simple_changes_of_the_workspace_run_unasked(line: str, decide: Callable[[str], Decision]) -> None:
    decision = decide(line)
    assert (decision.action, decision.confinement, decision.exclusive) == ("allow", "workspace", True), decision.reason


@pytest.mark.parametrize("line", MACHINE)
def test_commands_that_need_what_a_sandbox_hides_need_approval(line: str, decide: Callable[[str], Decision]) -> None:
    decision = decide(line)
    assert (decision.action, decision.confinement) == ("ask", "host")
    assert "sandbox" in decision.reason


@pytest.mark.parametrize("line", HOSTILE)
def test_a_hostile_line_needs_approval(line: str, decide: Callable[[str], Decision]) -> None:
    decision = decide(line)
    assert (decision.action, decision.confinement) == ("ask", "host")
    assert decision.reason.isprintable()


@pytest.mark.parametrize("line", [*CHANGING, *MACHINE])
def test_observe_mode_changes_nothing(line: str, make_policy: MakePolicy, workspace: Path) -> None:
    assert make_policy("observe").decide("shell", RunsCommand(line, workspace)).action == "deny"


def test_the_tables_of_hostile_lines_are_large_and_give_reasons() -> None:
    assert sum(len(trick.lines) for trick in TRICKS) >= 450
    assert all(trick.reason for trick in TRICKS)


def test_benign_lines_are_correct_shell() -> None:
    script = "\n".join([*READING, *CHANGING, *MACHINE])
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""
