"""The conformance suite: the contract's requirements for a backend, level by level, as cases to run against it.

It needs no key and no network except loopback, and it needs pytest only for the class that pytest collects.
"""

from vmpilot.testing.conformance.case import LEVELS, Case, Level
from vmpilot.testing.conformance.cases import CASES, find_cases
from vmpilot.testing.conformance.harness import Subject
from vmpilot.testing.conformance.pytest_class import BackendConformance
from vmpilot.testing.conformance.report import LevelReport, Report, make_report
from vmpilot.testing.conformance.running import CASE_SECONDS, Result, run_case, run_cases
from vmpilot.testing.conformance.subjects import find_backend, load_subject, make_subject

__all__ = [
    "CASES",
    "CASE_SECONDS",
    "LEVELS",
    "BackendConformance",
    "Case",
    "Level",
    "LevelReport",
    "Report",
    "Result",
    "Subject",
    "find_backend",
    "find_cases",
    "load_subject",
    "make_report",
    "make_subject",
    "run_case",
    "run_cases",
]
