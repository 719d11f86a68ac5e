"""The suite as a class for pytest to collect. Only running it needs pytest; importing it does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from vmpilot.testing.conformance.case import LEVELS, Case
from vmpilot.testing.conformance.cases import CASES
from vmpilot.testing.conformance.harness import Subject
from vmpilot.testing.conformance.running import CASE_SECONDS, Result, run_case
from vmpilot.testing.conformance.subjects import make_subject
from vmpilot.testing.playing import ScriptedModel, ServedModel


class BackendConformance:
    """Subclass it as `class TestConformance(BackendConformance)` and set `backend`; each case is a test.

    `backend` is an entry point's name, or a module or object with hooks. `scripted_model` creates the model that it
    calls. `known_failures` are cases (`"resume.images"`) with the reason for each: a known failure that passes is
    reported. `replaced` are cases that the class tests in its own way, with the reason: overriding `test_resume_images`
    without an entry is a TypeError. `required` are levels that the backend must claim. Cases of levels that it does not
    claim are run and expected to fail.
    """

    backend: ClassVar[object] = None
    scripted_model: ClassVar[ScriptedModel] = ServedModel
    known_failures: ClassVar[Mapping[str, str]] = {}
    replaced: ClassVar[Mapping[str, str]] = {}
    required: ClassVar[Collection[str]] = ("core",)
    case_seconds: ClassVar[float] = CASE_SECONDS

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _refuse_unknown(cls)
        if getattr(cls, "test_claims", None) is not BackendConformance.test_claims:
            raise TypeError(f"{cls.__name__} overrides test_claims: set `required` to the levels that it must claim")
        for case in CASES:
            own = getattr(cls, method_of(case)) is not getattr(BackendConformance, method_of(case))
            if own and not cls.replaced.get(case.id):
                raise TypeError(
                    f"{cls.__name__} overrides {method_of(case)} without a reason: give one in `replaced` "
                    f'({{"{case.id}": "…"}}), or list it in `known_failures`'
                )
            if not own and case.id in cls.replaced:
                raise TypeError(
                    f"{cls.__name__} says that it replaces {case.id}, but does not define {method_of(case)}"
                )

    @classmethod
    def subject(cls) -> Subject:
        """The backend under test. Raises `BackendError` if it cannot be used."""
        return make_subject(cls.backend, cls.scripted_model)

    def test_claims(self) -> None:
        """The backend claims all required levels, and only levels that exist."""
        claimed = self.subject().backend.info.capabilities
        if missing := sorted(set(self.required) - claimed):
            raise AssertionError(f"required levels are not claimed: {', '.join(missing)}")
        if unknown := sorted(claimed - set(LEVELS)):
            raise AssertionError(f"unknown levels: {', '.join(unknown)}")


def method_of(case: Case) -> str:
    """The name of the case as a test: `test_resume_images`."""
    return f"test_{case.level}_{case.name}"


def _refuse_unknown(cls: type[BackendConformance]) -> None:
    known = {case.id for case in CASES}
    for name in ("known_failures", "replaced"):
        declared: Mapping[str, str] = getattr(cls, name)
        if unknown := sorted(declared.keys() - known):
            raise TypeError(f"{cls.__name__}.{name} names unknown cases: {', '.join(unknown)}")
        if silent := sorted(case for case, reason in declared.items() if not reason.strip()):
            raise TypeError(f"{cls.__name__}.{name} gives no reason for {', '.join(silent)}")
    if unknown := sorted(set(cls.required) - set(LEVELS)):
        raise TypeError(f"{cls.__name__}.required names unknown levels: {', '.join(unknown)}")
    if double := sorted(cls.known_failures.keys() & cls.replaced.keys()):
        raise TypeError(f"{cls.__name__} lists cases as both replaced and known failures: {', '.join(double)}")


def _make_test(case: Case) -> Callable[[BackendConformance], None]:
    def test(self: BackendConformance) -> None:
        import pytest

        subject = self.subject()
        result = run_case(subject, case, seconds=self.case_seconds)
        known = self.known_failures.get(case.id)
        if result.outcome == "skipped":
            pytest.skip(result.came)
        if result.outcome == "failed" and known:
            pytest.xfail(f"{known} ({_describe(result)})")
        if result.outcome == "failed" and case.level not in subject.backend.info.capabilities:
            pytest.xfail(f"the backend does not claim {case.level} ({_describe(result)})")
        if result.outcome == "passed" and known:
            pytest.fail(f"{case.id} passes but is listed in known_failures ({known}): remove it", pytrace=False)
        if result.outcome == "failed":
            pytest.fail(f"{case.sentence}\n{_describe(result)}\nsee: {case.where}", pytrace=False)

    test.__name__ = method_of(case)
    test.__qualname__ = f"BackendConformance.{test.__name__}"
    test.__doc__ = case.sentence
    return test


def _describe(result: Result) -> str:
    return f"expected: {result.expected}\ngot: {result.came}"


for _case in CASES:
    setattr(BackendConformance, method_of(_case), _make_test(_case))
