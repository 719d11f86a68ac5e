"""No backend can block its test run, and each outcome is reported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

from tests.core.testing.conformance.reference import Reference

from vmpilot.contract import GenerationRequest, hookimpl
from vmpilot.testing import CannotPlay, PlayedModel
from vmpilot.testing.conformance import CASES, Result, make_report, make_subject, run_case, run_cases

ANSWERS = next(case for case in CASES if case.id == "core.answers")


class Sleeps:
    @hookimpl
    async def generate_responses(self, request: GenerationRequest) -> AsyncIterator[str]:
        await asyncio.sleep(3600)
        yield "late"


class SleepsInItsThread:
    def __init__(self) -> None:
        self.wake = threading.Event()

    @hookimpl
    def generate_responses(self, request: GenerationRequest) -> Iterator[str]:
        self.wake.wait()
        yield "late"


class IgnoresCancellation:
    def __init__(self) -> None:
        self.wake = threading.Event()

    @hookimpl
    async def generate_responses(self, request: GenerationRequest) -> AsyncIterator[str]:
        while not self.wake.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        yield "late"


class SaysYes:
    """A sync generator of plain text that calls no model."""

    @hookimpl
    def generate_responses(self, request: GenerationRequest) -> Iterator[str]:
        yield "All is "
        yield "well."


class Raises:
    @hookimpl
    async def generate_responses(self, request: GenerationRequest) -> AsyncIterator[str]:
        if request.messages:
            raise LookupError("there is no such thing")
        yield ""


def test_a_backend_that_hangs_is_a_failed_case() -> None:
    result = run_case(make_subject(Sleeps()), ANSWERS, seconds=0.3)
    assert (result.outcome, result.came) == ("failed", "a turn that hangs")


def test_a_thread_that_hangs_is_abandoned() -> None:
    backend = SleepsInItsThread()
    assert run_case(make_subject(backend), ANSWERS, seconds=0.3).outcome == "failed"
    backend.wake.set()


def test_a_backend_that_ignores_cancellation_is_abandoned() -> None:
    backend = IgnoresCancellation()
    result = run_case(make_subject(backend), ANSWERS, seconds=0.2)
    backend.wake.set()
    assert result.outcome == "failed"


def test_plain_text_from_a_sync_generator_is_tested_like_any_other() -> None:
    assert run_case(make_subject(SaysYes()), ANSWERS).outcome == "passed"


def test_the_exception_of_a_backend_is_the_outcome() -> None:
    result = run_case(make_subject(Raises()), ANSWERS)
    assert result.outcome == "failed"
    assert "LookupError: there is no such thing" in result.came


def test_a_step_that_the_model_does_not_support_skips_the_case() -> None:
    def refuse(_steps: object) -> PlayedModel:
        raise CannotPlay("it has no network")

    result = run_case(make_subject(Reference(), refuse), ANSWERS)  # type: ignore[arg-type]
    assert (result.outcome, result.came) == ("skipped", "it has no network")


def test_a_flaky_case_is_found_by_repeating_it() -> None:
    class Flaky:
        def __init__(self) -> None:
            self.turns = 0

        @hookimpl
        async def generate_responses(self, request: GenerationRequest) -> AsyncIterator[str]:
            self.turns += 1
            yield "All is well." if self.turns < 3 else "Not so well."

    (result,) = run_cases(make_subject(Flaky()), [ANSWERS], repeat=5)
    assert result.outcome == "failed"
    assert "in run 3 of 5" in result.came


def test_a_level_with_only_skipped_cases_does_not_pass() -> None:
    info = make_subject(Reference()).backend.info
    assert not make_report(info, [Result(ANSWERS, "skipped", came="so")]).holds
    assert make_report(info, [Result(ANSWERS, "passed"), Result(ANSWERS, "skipped", came="so")]).holds
