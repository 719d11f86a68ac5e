"""The level `cancel`: a canceled turn ends within a second and leaves nothing running."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial

from vmpilot.contract import BackendEvent, TextDelta, ToolCall
from vmpilot.testing.conformance.case import Case, Unmet, case, check, check_equal
from vmpilot.testing.conformance.harness import DONE, Harness, shell_call
from vmpilot.testing.fakes import ScriptedToolbox
from vmpilot.testing.playing import PlayedModel
from vmpilot.testing.script import Reply, Stall, Step

SECONDS = 1.0
"""The time that the contract gives a backend, in seconds."""

_ATTEMPTS = 3
_SPEAKING = Stall(4, Reply("one two three four five six"))


async def _within_a_second(attempt: Callable[[], Awaitable[float]], what: str) -> None:
    """Make the attempt, and repeat it if a busy machine may have slowed it down."""
    taken = []
    for _ in range(_ATTEMPTS):
        taken.append(await attempt())
        if taken[-1] <= SECONDS:
            return
    raise Unmet(f"{what} within {SECONDS:g} s", ", ".join(f"{seconds:.1f} s" for seconds in taken))


async def _listen(events: AsyncGenerator[BackendEvent, None], heard: asyncio.Event) -> None:
    """Consume all events; `heard` is set at the first TextDelta."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                heard.set()


async def _come_about(harness: Harness, event: asyncio.Event, task: asyncio.Task[None], what: str) -> None:
    """Wait until the task's turn has set the event; the case fails if the turn ends first or the wait times out."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([task, waiting], timeout=harness.patience, return_when=asyncio.FIRST_COMPLETED)
    if not event.is_set():
        came = "a turn that ended first" if task.done() else f"nothing for {harness.patience:g} s"
        waiting.cancel()
        task.cancel()
        await asyncio.wait([task, waiting], timeout=SECONDS)
        raise Unmet(what, came)


async def _hang_up(harness: Harness, model: PlayedModel) -> None:
    """Wait until the model has noticed that the connection was closed."""
    try:
        await asyncio.to_thread(model.wait_for_hangup, harness.patience)
    except TimeoutError as error:
        raise Unmet(
            "a closed connection to the model", f"a connection still open after {harness.patience:g} s"
        ) from error


async def _cancel(harness: Harness, task: asyncio.Task[None]) -> float:
    """Cancel the task and return the seconds until it ended; it must end with the cancellation."""
    started = time.monotonic()
    task.cancel()
    done, _pending = await asyncio.wait([task], timeout=harness.patience)
    check(bool(done), "a canceled turn that ends", f"a turn that kept running for {harness.patience:g} s")
    check(task.cancelled(), "CancelledError from a canceled turn", "a turn that swallowed the cancellation")
    return time.monotonic() - started


async def _cancel_while(harness: Harness, step: Step, *, speaking: bool) -> float:
    """Cancel a turn while the model plays this step; return the seconds until the turn and its connection closed."""
    heard = asyncio.Event()
    with harness.model(step) as model:
        task = asyncio.create_task(_listen(harness.turn(harness.request(model)), heard))
        if speaking:
            await _come_about(harness, heard, task, "a TextDelta of an answer in progress")
        else:
            await harness.come_to_ask(model, task)
        seconds = await _cancel(harness, task)
        await _hang_up(harness, model)
        return seconds


@case("cancel", "contract.md#hooks")
async def closed_while_speaking(harness: Harness) -> None:
    """Closing the turn mid-answer closes the connection to the model."""

    async def attempt() -> float:
        with harness.model(_SPEAKING) as model:
            events = harness.turn(harness.request(model))
            await harness.hear(events)
            started = time.monotonic()
            await events.aclose()
            seconds = time.monotonic() - started
            await _hang_up(harness, model)
            return seconds

    await _within_a_second(attempt, "a closed turn")


@case("cancel", "conformance.md#cancel")
async def cancelled_while_speaking(harness: Harness) -> None:
    """Canceling the turn mid-answer ends the turn and closes its connection."""
    await _within_a_second(partial(_cancel_while, harness, _SPEAKING, speaking=True), "a finished turn")


@case("cancel", "conformance.md#cancel")
async def cancelled_before_the_answer(harness: Harness) -> None:
    """Canceling the turn before the model has answered ends the turn and closes its connection."""
    for step in (Stall("request"), Stall("headers")):
        await _within_a_second(partial(_cancel_while, harness, step, speaking=False), "a finished turn")


class _EndlessTool:
    """A tool that runs until it is canceled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _call: ToolCall) -> str:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return ""


@case("cancel", "conformance.md#cancel")
async def cancelled_in_a_tool(harness: Harness) -> None:
    """Canceling the turn while a tool runs cancels the tool, and the model is not called again."""

    async def attempt() -> float:
        tool = _EndlessTool()
        with harness.model(Reply(tool_calls=(shell_call(),)), DONE) as model:
            events = harness.turn(harness.request(model), ScriptedToolbox(tool))
            task = asyncio.create_task(_listen(events, asyncio.Event()))
            await _come_about(harness, tool.started, task, "a running tool")
            seconds = await _cancel(harness, task)
            check(tool.cancelled.is_set(), "a tool that is canceled with its turn", "a tool that kept running")
            check_equal(len(model.requests), 1, "requests to the model:")
            return seconds

    await _within_a_second(attempt, "a finished turn")


@case("cancel", "conformance.md#cancel")
async def nothing_runs_on(harness: Harness) -> None:
    """After a turn is closed, none of its tasks remain."""
    before = asyncio.all_tasks()
    with harness.model(_SPEAKING) as model:
        async with aclosing(harness.turn(harness.request(model))) as events:
            await harness.hear(events)
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.wait(left, timeout=SECONDS)
        running = [task.get_coro() for task in left if not task.done()]
        check(not running, f"no task of the turn {SECONDS:g} s after it was closed", ", ".join(map(str, running)))


@case("cancel", "conformance.md#cancel")
async def others_go_on(harness: Harness) -> None:
    """Canceling one turn does not affect another."""
    with harness.model(_SPEAKING) as given_up, harness.model(Reply("one two three", gap=0.05)) as other:
        heard = asyncio.Event()
        task = asyncio.create_task(_listen(harness.turn(harness.request(given_up)), heard))
        going_on = asyncio.create_task(harness.run_request(harness.request(other), other))
        await _come_about(harness, heard, task, "a TextDelta of an answer in progress")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        turn = await going_on
    if turn.error is not None:
        raise turn.error
    check_equal(turn.answer.text, "one two three", "the other turn's answer")


CANCEL: tuple[Case, ...] = (
    closed_while_speaking,
    cancelled_while_speaking,
    cancelled_before_the_answer,
    cancelled_in_a_tool,
    nothing_runs_on,
    others_go_on,
)
