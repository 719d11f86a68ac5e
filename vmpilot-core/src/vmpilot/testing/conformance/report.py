"""The results of a run, level by level: the claims, the outcomes, and whether the backend passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmpilot.contract import BackendInfo
from vmpilot.testing.conformance.case import LEVELS, Level
from vmpilot.testing.conformance.running import Result


@dataclass(frozen=True, slots=True)
class LevelReport:
    """One level of one backend. It holds if no case failed and at least one passed."""

    level: Level
    claimed: bool
    results: tuple[Result, ...]

    @property
    def passed(self) -> int:
        return sum(result.outcome == "passed" for result in self.results)

    @property
    def skipped(self) -> int:
        return sum(result.outcome == "skipped" for result in self.results)

    @property
    def holds(self) -> bool:
        return self.passed > 0 and self.passed + self.skipped == len(self.results)


@dataclass(frozen=True, slots=True)
class Report:
    """A run of the suite, or of some of its levels."""

    info: BackendInfo
    levels: tuple[LevelReport, ...]

    @property
    def holds(self) -> bool:
        """Whether every level that the backend claims holds, among those that were run."""
        return all(level.holds for level in self.levels if level.claimed)

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for level in self.levels for result in level.results if result.outcome == "failed")

    def as_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "backend": self.info.name,
            "version": self.info.version,
            "contract_version": self.info.contract_version,
            "holds": self.holds,
            "levels": [_level_as_json(level) for level in self.levels],
        }


def make_report(info: BackendInfo, results: Sequence[Result]) -> Report:
    """Sort the results by level."""
    ran = {result.case.level for result in results}
    return Report(
        info,
        tuple(
            LevelReport(
                level,
                claimed=level in info.capabilities,
                results=tuple(result for result in results if result.case.level == level),
            )
            for level in LEVELS
            if level in ran
        ),
    )


def _level_as_json(level: LevelReport) -> dict[str, Any]:
    return {
        "level": level.level,
        "claimed": level.claimed,
        "holds": level.holds,
        "passed": level.passed,
        "cases": [
            {
                "case": result.case.id,
                "sentence": result.case.sentence,
                "outcome": result.outcome,
                "expected": result.expected,
                "came": result.came,
                "see": result.case.where,
                "seconds": round(result.seconds, 3),
            }
            for result in level.results
        ],
    }
