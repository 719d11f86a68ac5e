"""The cost of confinement per command: `python bench/sandbox.py [--runs N]`. Medians and 95th percentiles in ms.

Each row runs `true` with bash, bare or in a sandbox, in a small repository; rows alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import Confine, run_command
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.processes.supervisor import Supervisor
from vmpilot.machine.sandbox import Attempt, Level, Sandbox
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.search import candidates, try_engine

LEVELS: tuple[Level, ...] = ("read", "workspace")
AIM = 40.0


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure the cost of confinement per command.")
    parser.add_argument("--runs", type=int, default=60, help="commands per row (60)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        _make_repository(root)
        _print(asyncio.run(_measure(root, runs)))


def _make_repository(root: Path) -> None:
    """Two hundred folders and a .git, as in an average project."""
    for number in range(200):
        (root / "src" / str(number // 20) / str(number)).mkdir(parents=True)
    (root / ".git" / "hooks").mkdir(parents=True)


async def _measure(root: Path, runs: int) -> dict[str, list[float]]:
    rows: dict[str, Confine | None] = {"none": None}
    hidden_paths = HiddenPaths.of(os.environ.get("HOME", ""), ())
    for engine in candidates(os.environ):
        problem = engine.problem if isinstance(engine, Attempt) else await try_engine(engine, os.environ, hidden_paths)
        if problem is not None or isinstance(engine, Attempt):
            print(f"left out: {engine.name}: {problem}")
            continue
        for level in LEVELS:
            rows[f"{engine.name}: {level}"] = partial(_confine, Sandbox(engine, hidden_paths), root, level)
    times: dict[str, list[float]] = {row: [] for row in rows}
    supervisor = Supervisor()
    try:
        for number in range(runs + 3):
            for row, confine in rows.items():
                started = time.perf_counter()
                await _run(root, confine, supervisor)
                if number >= 3:
                    times[row].append((time.perf_counter() - started) * 1000)
    finally:
        supervisor.close()
    return times


def _confine(sandbox: Sandbox, root: Path, level: Level, launch: ShellLaunch, resources: ExitStack) -> ShellLaunch:
    return sandbox.confine(launch, confinement=level, folder=root, root=root, resources=resources)


async def _run(root: Path, confine: Confine | None, supervisor: Supervisor) -> None:
    outcome = await run_command(
        "true",
        folder=root,
        environment=dict(os.environ),
        timeout=30,
        limits=OutputLimits(),
        on_output=lambda _: None,
        confine=confine,
        supervisor=supervisor,
    )
    if outcome.exit_code != 0:
        raise SystemExit(f"a command failed: {outcome}")


def _print(times: dict[str, list[float]]) -> None:
    width = max(map(len, times))
    bare = statistics.median(times["none"])
    print(f"{'':<{width}}  median    p95  added")
    for row, found in times.items():
        median = statistics.median(found)
        mark = "" if row == "none" else f"  {'✓' if median - bare < AIM else '✗'}"
        late = statistics.quantiles(found, n=20)[-1]
        print(f"{row:<{width}}  {median:6.1f} {late:6.1f} {median - bare:6.1f}{mark}")
    print(f"aim: less than {AIM:g} ms added; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
