"""Figures of a process are the ones that the system reports for it alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from bench.processes import Finished, MeasuredProcess, RunFailed


def start(code: str, folder: Path) -> MeasuredProcess:
    return MeasuredProcess([sys.executable, "-S", "-c", code], environment={}, folder=folder)


def run(code: str, folder: Path) -> Finished:
    return start(code, folder).finish()


def test_cpu_time_is_the_programs(tmp_path: Path) -> None:
    busy = run("import time\nwhile time.process_time() < 0.3: pass", tmp_path)
    assert 0.3 <= busy.cpu < 0.6
    assert busy.wall >= 0.3


def test_waiting_is_wall_time_and_not_cpu_time(tmp_path: Path) -> None:
    idle = run("import time; time.sleep(0.3)", tmp_path)
    assert idle.wall >= 0.3
    assert idle.cpu < 0.2


def test_memory_is_the_programs_and_not_ours(tmp_path: Path) -> None:
    ours = bytearray(b"x") * 150_000_000
    assert run("pass", tmp_path).max_rss < 60_000_000
    assert 100_000_000 < run("x = bytearray(b'x') * 100_000_000", tmp_path).max_rss < len(ours)


def test_cpu_clock_of_a_running_program_goes_forward(tmp_path: Path) -> None:
    process = start("import time\nwhile time.process_time() < 0.2: pass", tmp_path)
    deadline = time.monotonic() + 10
    while process.cpu_so_far() < 0.1 and time.monotonic() < deadline:
        pass
    assert 0.1 <= process.cpu_so_far() < 0.3
    process.finish()


def test_output_is_read_however_much_it_is(tmp_path: Path) -> None:
    run("print('x' * 1_000_000)", tmp_path)


def test_failure_tells_the_programs_last_words(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"exit code 3 .*: oh no$"):
        run("import sys; print('well\\noh no', file=sys.stderr); sys.exit(3)", tmp_path)


def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"/no/such/program could not be started: .*No such file"):
        MeasuredProcess(["/no/such/program"], environment={}, folder=tmp_path)
