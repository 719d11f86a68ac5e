"""A quarter of the table as tests: each fault in one of the columns; `nox -s conformance` does all four."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.faults import FAULTS, Fault

from .rows import COLUMNS, Column, run_rows, watched_logs


def faults_for(column: Column) -> Sequence[Fault]:
    """Every fourth fault of each family; the other columns have the rest."""
    by_family = sorted(FAULTS, key=lambda fault: fault.family)
    return by_family[COLUMNS.index(column) :: len(COLUMNS)]


def test_each_fault_has_a_column() -> None:
    tested = [fault.name for column in COLUMNS for fault in faults_for(column)]
    assert sorted(tested) == sorted(fault.name for fault in FAULTS)


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize("column", COLUMNS, ids=str)
async def test_turn_ends_as_expected(column: Column, capfd: pytest.CaptureFixture[str]) -> None:
    with watched_logs() as leaks:
        rows = await run_rows(faults_for(column), [column])
    assert not [(row.fault.name, row.wrong) for row in rows if row.wrong]
    assert len(rows) == len(faults_for(column))
    assert leaks == []
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
