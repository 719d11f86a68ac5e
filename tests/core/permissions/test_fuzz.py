"""The policy against bash: of thousands of mutated lines, none may be let through that bash parses or runs differently.

`--fuzz 20000` tries more of them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpilot.contract import RunsCommand
from vmpilot.permissions import PermissionPolicy
from vmpilot.permissions.expansion import expand_word
from vmpilot.permissions.lexer import lex_line

from .bash_oracle import HOME, BashOracle, Calls, differences, snapshot
from .conftest import INSIDE_SECRET, OUTSIDE_SECRET, make_workspace
from .line_grammar import LineMaker

SEED = 20_261_123
_PROTECTED = re.compile(r"/\.(?!gitignore$|github(?:/|$))")
_NOT_DONE = {"hostname", "date", "sleep", "dpkg", "apt-cache"}
"""Programs that are not run for real here."""


class Trial:
    """One workspace, recreated after each line that changed it, and the lines to try in it."""

    def __init__(self, place: Path) -> None:
        self.place = place / "place"
        self._notes = place
        self._set_up()
        self.policy = PermissionPolicy("operate", workspace=self.root, confines=lambda: True, home=HOME)
        self.oracle = BashOracle(self.root, self._notes)

    def _set_up(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        self.root = make_workspace(self.place)
        self._before = snapshot(self.place)

    def changes(self) -> set[str]:
        """The paths that changed since the last call."""
        changed = differences(self._before, snapshot(self.place))
        if changed:
            self._set_up()
        return {path.removeprefix(str(self.root)) for path in changed}

    def approved(self, count: int) -> Iterator[tuple[str, str]]:
        """The lines among `count` that are let through, with their confinement."""
        maker = LineMaker(SEED, self.place)
        for _ in range(count):
            line = maker.make_line()
            decision = self.policy.decide("shell", RunsCommand(line, self.root))
            if decision.action == "allow":
                yield line, decision.confinement


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def _wrong_changes(changed: set[str], confinement: str) -> set[str]:
    if confinement == "read":
        return changed
    return {path for path in changed if path.startswith("/tmp") or _PROTECTED.search(path)}


def _expected(line: str) -> Calls:
    """The commands that bash runs by the policy's reading; `[[` is not a command."""
    commands = [
        [one.text for word in command.words for one in expand_word(word, HOME)] for command in lex_line(line) or ()
    ]
    return Counter(tuple(words) for words in commands if words[0] != "[[")


def _misread(line: str, calls: Calls, *, status: int) -> str | None:
    """What bash runs unexpectedly, or does not run, if anything."""
    expected = _expected(line)
    if more := calls - expected:
        return f"it runs {list(more)}"
    may_stop = any(sign in line for sign in ("||", "cd", "<", ">", "[["))
    return f"it runs only {list(calls)}" if status == 0 and calls != expected and not may_stop else None


def _contradictions(trial: Trial, lines: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Lines that bash runs differently from the parse, with the difference. Lines that change files run one by one."""
    together = [line for line, _ in lines if ">" not in line]
    batches = [(together[start : start + 50], "read") for start in range(0, len(together), 50)]
    for batch, confinement in (*batches, *(([line], level) for line, level in lines if ">" in line)):
        for status in (0, 1):
            for line, calls in zip(batch, trial.oracle.run(batch, status=status), strict=True):
                if why := _misread(line, calls, status=status):
                    yield line, why
        if wrong := _wrong_changes(trial.changes(), confinement):
            yield batch[0], f"it opens {wrong}"


def test_what_is_let_through_is_read_as_bash_reads_it(
    trial: Trial, fuzz_count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = list(trial.approved(fuzz_count))
    wrong = list(_contradictions(trial, lines))
    with capsys.disabled():
        print(f"[{fuzz_count} lines, {len(lines)} let through, {len(wrong)} contradicted by bash]", end="")
    assert len(lines) > fuzz_count / 10
    assert wrong == []


def _harm(trial: Trial, line: str, confinement: str) -> str | None:
    """The harm that a line does when it is run for real, without a sandbox; None if it does no harm."""
    done = subprocess.run(
        ["bash", "--norc", "-c", line],
        cwd=trial.root,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": HOME, "GIT_CONFIG_NOSYSTEM": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    # What searches the workspace, or compares two of its folders, may read an .env in it.
    recursive = re.search(r"-[a-z]*r|rg|--recursive|git diff", line)
    if OUTSIDE_SECRET.encode() in done.stdout or (INSIDE_SECRET.encode() in done.stdout and not recursive):
        return "it shows a secret"
    wrong = _wrong_changes(trial.changes(), confinement)
    if "mv" in _names(line):  # a folder goes with what is hidden in it
        wrong = {path for path in wrong if path.count("/") == 1}
    return f"it changes {wrong}" if wrong else None


def test_what_is_let_through_does_no_harm_even_unconfined(
    trial: Trial, fuzz_count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [(line, level) for line, level in trial.approved(fuzz_count // 5) if _is_quick(line)]
    harm = [(line, reason) for line, level in lines if (reason := _harm(trial, line, level))]
    with capsys.disabled():
        print(f"[{len(lines)} run for real, {len(harm)} harmful]", end="")
    assert harm == []


def _is_quick(line: str) -> bool:
    """Whether the line may run for real: it neither searches the whole machine nor waits."""
    return not _names(line) & _NOT_DONE and not re.search(r"(?:find|du) .*/(?: |var|$)", line)


def _names(line: str) -> set[str]:
    return {command.argv[0] for command in lex_line(line) or ()}
