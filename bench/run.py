"""`python bench/run.py`: compares VMPilot with bare loops and reports which aims are met. See README.md."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.databases import POSTGRESQL, SQLITE
from bench.growth import GROWTH_ROWS, measure_growth
from bench.machine import Machine, find_disk
from bench.measures import MEASURES, Figures, Measure, take_steps
from bench.processes import RunFailed
from bench.programs import PROGRAMS, Program
from bench.report import Line, as_json, make_lines, write_table, write_verdict

_GROWTH = "growth"
_DATABASES = (SQLITE, POSTGRESQL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; return 1 if a program failed, otherwise 0, even if an aim was missed."""
    options = _parse(arguments)
    programs = [program for program in PROGRAMS if program.name in options.programs]
    failures: dict[str, str] = {}
    lines: list[Line] = []
    machine = Machine()
    with tempfile.TemporaryDirectory(prefix="vmpilot-bench-", dir=find_disk()) as folder:
        if set(options.only) != {_GROWTH}:
            programs = list(_warm_up(programs, Path(folder), failures=failures))
        for measure in MEASURES:
            if measure.name in options.only:
                samples = _sample(
                    measure, programs, folder=Path(folder), runs=options.runs, machine=machine, failures=failures
                )
                lines += make_lines(measure.name, measure.rows, samples)
        grown = (
            list(_measure_growth(Path(folder), runs=options.runs, machine=machine)) if _GROWTH in options.only else []
        )
    if lines:
        print(f"\n{write_table(lines)}\n\n{write_verdict(lines)}")
    if grown:
        print(f"\n{write_table(grown, _DATABASES)}\n\n{write_verdict(grown, _DATABASES)}")
    for name, why in failures.items():
        print(f"  failed: {name}: {why}")
    facts = machine.describe()
    print(f"  {', '.join(f'{name} {value}' for name, value in facts.items())}")
    if options.json is not None:
        content = {"machine": facts, "runs": options.runs, "failures": failures}
        content |= {"lines": as_json(lines), "growth": as_json(grown, _DATABASES)}
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 1 if failures else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Compare VMPilot with bare loops.")
    measures, programs = [*(measure.name for measure in MEASURES), _GROWTH], [program.name for program in PROGRAMS]
    parser.add_argument(
        "--only", nargs="+", choices=measures, default=measures, metavar="NAME", help=" ".join(measures)
    )
    parser.add_argument(
        "--programs", nargs="+", choices=programs, default=programs, metavar="NAME", help=", ".join(map(repr, programs))
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each program in each measure (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all samples to FILE")
    return parser.parse_args(arguments)


def _warm_up(programs: Sequence[Program], folder: Path, *, failures: dict[str, str]) -> Iterator[Program]:
    """The programs that work, after a run that is not counted: it writes bytecode files and fills the page cache."""
    for program in programs:
        _show_progress(f"warming up: {program.name}")
        try:
            take_steps(program, folder)
        except RunFailed as failure:
            failures[program.name] = str(failure)
        else:
            yield program


def _sample(
    measure: Measure,
    programs: Sequence[Program],
    *,
    folder: Path,
    runs: int,
    machine: Machine,
    failures: dict[str, str],
) -> Mapping[str, Sequence[Figures]]:
    """The figures of all runs, by program. The programs alternate, so that a busy moment affects all of them."""
    samples: dict[str, list[Figures]] = defaultdict(list)
    for number in range(runs * measure.times):
        machine.look()
        for program in programs:
            place = f"{program.name}, {measure.name}"
            if place in failures:
                continue
            _show_progress(f"{measure.name} {number + 1}/{runs * measure.times}: {program.name}")
            try:
                samples[program.name].append(measure.take(program, folder))
            except RunFailed as failure:
                failures[place] = str(failure)
    _show_progress("")
    return samples


def _measure_growth(folder: Path, *, runs: int, machine: Machine) -> Iterator[Line]:
    _show_progress("growth")
    yield from make_lines(_GROWTH, GROWTH_ROWS, measure_growth(folder, runs=runs, look=machine.look))
    _show_progress("")


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
