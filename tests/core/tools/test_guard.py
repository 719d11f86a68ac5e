"""Marked processes whose VMPilot is killed: the guard ends them by their marks alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from vmpilot.tools.family import end_orphans
from vmpilot.tools.guard import Guard

from .conftest import Survivors


def test_without_a_shell_its_marks_are_enough(mark: str, tmp_path: Path, survivors: Survivors) -> None:
    environment = {"PATH": os.environ["PATH"], "VMPILOT_COMMAND_ID": f"outer {mark}"}
    with subprocess.Popen(["sleep", "1000"], env=environment, cwd=tmp_path, start_new_session=True) as orphan:
        assert end_orphans(mark, 500, None) == 0
        assert orphan.wait() == -signal.SIGTERM
    assert survivors() == []


def own_guards() -> list[int]:
    """The guards that this process started and that are alive."""
    children = [int(word) for path in Path("/proc/self/task").glob("*/children") for word in path.read_text().split()]
    return [child for child in children if b"vmpilot-guard" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_guard_waits_and_ends_with_its_process(mark: str) -> None:
    with Guard(mark, descriptor=500):
        give_up = time.monotonic() + 5
        while not own_guards() and time.monotonic() < give_up:
            time.sleep(0.001)  # until it shows its arguments
        assert len(own_guards()) == 1
    assert own_guards() == []
