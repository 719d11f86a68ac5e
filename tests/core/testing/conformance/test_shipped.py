"""The included backends claim every level and pass every case."""

from __future__ import annotations

import warnings

import pytest

from vmpilot.testing.conformance import CASES, LEVELS, Subject, make_report, make_subject, run_cases


@pytest.mark.parametrize("name", ["langchain", "litellm"])
def test_an_included_backend_passes_what_it_claims(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LiteLLM's modules warn about its own dependencies while they are imported
        subject: Subject = make_subject(name)
        results = list(run_cases(subject, CASES))
    assert [(result.case.id, result.expected, result.came) for result in results if result.outcome != "passed"] == []
    report = make_report(subject.backend.info, results)
    assert report.holds
    assert {level.level for level in report.levels if level.claimed} == set(LEVELS)
