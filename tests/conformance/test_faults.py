"""An eighth of the table: every second fault in one of the four columns; `nox -s conformance` runs all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.faults import FAULTS, Fault

from .rows import COLUMNS, Column, run_rows, watched_logs


def faults_for(column: Column) -> Sequence[Fault]:
    """Every eighth fault, family by family; no two columns have the same ones."""
    by_family = sorted(FAULTS, key=lambda fault: fault.family)
    return by_family[2 * COLUMNS.index(column) :: 2 * len(COLUMNS)]


def test_the_columns_have_different_faults_of_every_family() -> None:
    tested = [fault for column in COLUMNS for fault in faults_for(column)]
    assert len({fault.name for fault in tested}) == len(tested) >= len(FAULTS) // 2
    assert all(
        {fault.family for fault in faults_for(column)} == {fault.family for fault in FAULTS} for column in COLUMNS
    )


# LiteLLM leaves a coroutine behind if its call is canceled before the first step.
@pytest.mark.filterwarnings("ignore:coroutine .OpenAIChatCompletion.* was never awaited:RuntimeWarning")
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
