"""Each fault of a backend is found by the case meant for it, and by no other case of its level."""

from __future__ import annotations

import pytest
from tests.core.testing.conformance.broken import BROKEN, Broken
from tests.core.testing.conformance.reference import Reference

from vmpilot.testing.conformance import CASES, make_subject, run_case, run_cases

BY_ID = {case.id: case for case in CASES}


def test_the_reference_passes_every_case() -> None:
    results = list(run_cases(make_subject(Reference()), CASES))
    assert [(result.case.id, result.expected, result.came) for result in results if result.outcome == "failed"] == []
    assert [result.case.id for result in results if result.outcome == "skipped"] == ["core.quiet_import"]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.backend.__name__)
def test_a_fault_is_found(broken: Broken) -> None:
    result = run_case(make_subject(broken.backend()), BY_ID[broken.meant], seconds=2.0)
    assert result.outcome == "failed"
    assert result.expected
    assert result.came


@pytest.mark.parametrize(
    "broken", [one for one in BROKEN if not one.spoils_much], ids=lambda broken: broken.backend.__name__
)
def test_no_other_case_of_its_level_fails(broken: Broken) -> None:
    meant = BY_ID[broken.meant]
    level = [case for case in CASES if case.level == meant.level]
    results = run_cases(make_subject(broken.backend()), level, seconds=12.0)
    failed = {result.case.id for result in results if result.outcome == "failed"}
    assert failed == {meant.id} | {case.id for case in level if case.id in broken.also}
