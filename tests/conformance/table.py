"""The table of all faults on both backends, with and without streaming: `nox -s conformance`.

The exit code is 0 if every row passes, otherwise 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tests.conformance.page import PAGE, write_page
from tests.conformance.rows import BACKENDS, COLUMNS, Column, Row, run_rows, warm_up, watched_logs
from tests.faults import Fault, find_faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen rows and print the table."""
    options = _parse(arguments)
    if options.page:
        PAGE.write_text(write_page() + "\n", encoding="utf-8")
        return 0
    columns = [column for column in COLUMNS if options.backend in {None, column.backend}]
    faults = find_faults(tuple(options.only))
    if not faults:
        print(f"No fault matches {' or '.join(options.only)}.")
        return 2
    started = time.monotonic()
    with watched_logs() as leaks:
        rows = asyncio.run(_run(faults, columns))
    _print_table(faults, columns, rows)
    used = sum(os.times()[:4])
    print(f"{time.monotonic() - started:.0f} s, {used:.0f} s of processor time")
    for leak in sorted(set(leaks)):
        print(leak)
    if options.json is not None:
        options.json.write_text(json.dumps([_as_json(row) for row in rows], indent=1), encoding="utf-8")
    return 1 if leaks or any(row.wrong for row in rows) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("nox -s conformance --", description="Run the backends through every fault.")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="faults whose name contains NAME, or a family"
    )
    parser.add_argument("--backend", choices=BACKENDS, help="run only this backend")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE as JSON")
    parser.add_argument("--page", action="store_true", help="write the documentation page and exit")
    return parser.parse_args(arguments)


async def _run(faults: Sequence[Fault], columns: Sequence[Column]) -> list[Row]:
    await warm_up(columns)
    done = count(1)
    total = len(faults) * len(columns)

    def show(_row: Row) -> None:
        number = next(done)
        if sys.stderr.isatty() or number % 100 == 0:
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{number:,} of {total:,} rows", end=end, file=sys.stderr, flush=True)

    return await run_rows(faults, columns, report=show)


def _print_table(faults: Sequence[Fault], columns: Sequence[Column], rows: Sequence[Row]) -> None:
    found = {(row.fault.name, row.column): row for row in rows}
    wide = max(len(fault.name) for fault in faults)
    heads = [str(column) for column in columns]
    print(f"{'family':<12} {'fault':<{wide}}  {'  '.join(heads)}")
    for fault in faults:
        marks = ["FAILED" if found[fault.name, column].wrong else "good" for column in columns]
        cells = [f"{mark:<{len(head)}}" for mark, head in zip(marks, heads, strict=True)]
        print(f"{fault.family:<12} {fault.name:<{wide}}  {'  '.join(cells)}".rstrip())
    for row in rows:
        for wrong in row.wrong:
            print(f"\n{row.fault.name}, {row.column}: {wrong}")
    print()
    for column in columns:
        own = [row for row in rows if row.column == column]
        print(f"{column} {sum(not row.wrong for row in own)}/{len(own)}")
    if again := [row for row in rows if row.again]:
        names = ", ".join(f"{row.fault.name} ({row.column})" for row in again)
        print(f"Run a second time, alone, because they failed beside others: {names}")


def _as_json(row: Row) -> dict[str, object]:
    return {
        "family": row.fault.family,
        "fault": row.fault.name,
        "backend": row.column.backend,
        "streaming": row.column.streaming,
        "good": not row.wrong,
        "again": row.again,
        "wrong": row.wrong,
        "seconds": round(row.seconds, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
