"""Runs cases: each in its own thread and event loop, with a time limit.

A backend may do anything: block the loop, swallow its cancellation, leave threads running. None of that may block the
caller.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from vmpilot.testing.conformance.case import Case, NotApplicable, Unmet
from vmpilot.testing.conformance.harness import Harness, Subject
from vmpilot.testing.playing import CannotPlay

Outcome: TypeAlias = Literal["passed", "failed", "skipped"]

CASE_SECONDS = 60.0
"""The time limit of one case; a good backend needs a fraction of a second."""

_GRACE = 3.0
"""Seconds that a backend has to react to its cancellation."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a case. `expected` and `came` explain a failure; `came` alone explains a skip."""

    case: Case
    outcome: Outcome
    expected: str = ""
    came: str = ""
    seconds: float = 0.0


def run_cases(
    subject: Subject, cases: Sequence[Case], *, repeat: int = 1, seconds: float = CASE_SECONDS
) -> Iterator[Result]:
    """The result of each case as it finishes, one after the other; for repeated cases, the first failure."""
    for case in cases:
        result = run_case(subject, case, seconds=seconds)
        for time_run in range(2, repeat + 1):
            if result.outcome != "passed":
                break
            result = _numbered(run_case(subject, case, seconds=seconds), time_run, repeat)
        yield result


def _numbered(result: Result, time_run: int, repeat: int) -> Result:
    if result.outcome != "failed":
        return result
    came = f"{result.came} (in run {time_run} of {repeat}; it passed before)"
    return Result(result.case, result.outcome, result.expected, came, result.seconds)


def run_case(subject: Subject, case: Case, *, seconds: float = CASE_SECONDS) -> Result:
    """Run one case; it fails if the backend hangs."""
    harness = Harness(subject, patience=min(10.0, seconds / 4))
    future: Future[Result] = Future()
    started = time.monotonic()
    thread = threading.Thread(target=_run_loop, args=(harness, case, seconds, future), name=case.id, daemon=True)
    thread.start()
    try:
        result = future.result(seconds + _GRACE)
    except TimeoutError:
        expected = f"the case to finish within {seconds:g} s"
        result = Result(case, "failed", expected, "a backend that blocks the event loop, or ignores its cancellation")
    finally:
        harness.close()
    thread.join(_GRACE / 3)
    return Result(case, result.outcome, result.expected, result.came, time.monotonic() - started)


def _run_loop(harness: Harness, case: Case, seconds: float, future: Future[Result]) -> None:
    # Closing the loop waits for tasks that a bad backend left running, so the result is reported first.
    with suppress(RuntimeError), asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.set_default_executor(_LooseThreads())
        runner.run(_tell(harness, case, seconds, future))


async def _tell(harness: Harness, case: Case, seconds: float, future: Future[Result]) -> None:
    try:
        future.set_result(await _judge(harness, case, seconds))
    except BaseException as error:
        if not future.done():
            future.set_result(Result(case, "failed", "a case that finishes", _told(error)))
        raise


async def _judge(harness: Harness, case: Case, seconds: float) -> Result:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await case.run_turn(harness)
    except (NotApplicable, CannotPlay) as reason:
        return Result(case, "skipped", came=str(reason))
    except Unmet as unmet:
        return Result(case, "failed", unmet.expected, unmet.came)
    except Exception as error:  # noqa: BLE001  whatever a backend raises is the result
        if limit.expired():
            return Result(case, "failed", f"the case to finish within {seconds:g} s", "a turn that hangs")
        return Result(case, "failed", case.sentence.rstrip("."), _told(error))
    return Result(case, "passed")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class _LooseThreads(ThreadPoolExecutor):
    """Daemon threads: a backend that hangs must not keep the interpreter from exiting."""

    def submit(self, function: Callable[..., _Value], /, *arguments: Any, **keywords: Any) -> Future[_Value]:
        future: Future[_Value] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*arguments, **keywords))
            except BaseException as error:  # noqa: BLE001  the future's consumer gets it
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future
