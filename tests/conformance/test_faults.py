"""A quarter of the table as tests: each fault in one of the columns; `nox -s conformance` does all four."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.faults import FAULTS, Fault

from .rows import COLUMNS, Column, run_rows, watched_logs

FAMILIES = tuple(dict.fromkeys(fault.family for fault in FAULTS))
LARGE = "large"
"""The faults that measure memory, of all families."""


def faults_for(part: str, column: Column) -> Sequence[Fault]:
    """Every fourth fault; the other columns have the rest."""
    own = [fault for fault in FAULTS if (LARGE if fault.megabytes else fault.family) == part]
    return own[COLUMNS.index(column) :: len(COLUMNS)]


def test_the_columns_have_every_fault() -> None:
    tested = [fault.name for column in COLUMNS for part in (*FAMILIES, LARGE) for fault in faults_for(part, column)]
    assert sorted(tested) == sorted(fault.name for fault in FAULTS)


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize("column", COLUMNS, ids=str)
@pytest.mark.parametrize("part", [*FAMILIES, LARGE])
async def test_turn_ends_as_expected(part: str, column: Column, capfd: pytest.CaptureFixture[str]) -> None:
    with watched_logs() as leaks:
        rows = await run_rows(faults_for(part, column), [column])
    assert not [(row.fault.name, row.wrong) for row in rows if row.wrong]
    assert rows
    assert leaks == []
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
