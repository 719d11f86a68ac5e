"""The level `cancel`: a turn that is given up ends within a second, and nothing of it goes on."""

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
"""What the contract gives a backend."""

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
    """Take all events; `heard` is set at the first TextDelta."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                heard.set()


async def _come_about(harness: Harness, event: asyncio.Event, task: asyncio.Task[None], what: str) -> None:
    """Wait until the turn in the task has set the event; a case fails whose turn ends before, or waits in vain."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([task, waiting], timeout=harness.patience, return_when=asyncio.FIRST_COMPLETED)
    if not event.is_set():
        came = "a turn that ended before" if task.done() else f"nothing for {harness.patience:g} s"
        waiting.cancel()
        task.cancel()
        await asyncio.wait([task, waiting], timeout=SECONDS)
        raise Unmet(what, came)


async def _hang_up(harness: Harness, model: PlayedModel) -> None:
    """Wait until the model has noticed the closed connection."""
    try:
        await asyncio.to_thread(model.wait_for_hangup, harness.patience)
    except TimeoutError as error:
        raise Unmet(
            "the connection to the model to be closed", f"one that was open {harness.patience:g} s later"
        ) from error


async def _cancel(harness: Harness, task: asyncio.Task[None]) -> float:
    """Cancel it and give the seconds until it was over; its end must be the cancellation."""
    started = time.monotonic()
    task.cancel()
    done, _pending = await asyncio.wait([task], timeout=harness.patience)
    check(bool(done), "a cancelled turn to end", f"one that ran on for {harness.patience:g} s")
    check(task.cancelled(), "CancelledError out of a cancelled turn", "a turn that swallowed it")
    return time.monotonic() - started


async def _cancel_while(harness: Harness, step: Step, *, speaking: bool) -> float:
    """Cancel a turn while the model is at this step; the seconds until the turn and its connection were closed."""
    heard = asyncio.Event()
    with harness.model(step) as model:
        task = asyncio.create_task(_listen(harness.turn(harness.request(model)), heard))
        if speaking:
            await _come_about(harness, heard, task, "a TextDelta of an answer that has begun")
        else:
            await harness.come_to_ask(model, task)
        seconds = await _cancel(harness, task)
        await _hang_up(harness, model)
        return seconds


@case("cancel", "contract.md#hooks")
async def closed_while_speaking(harness: Harness) -> None:
    """Closing the turn in the middle of an answer closes the connection to the model."""

    async def attempt() -> float:
        with harness.model(_SPEAKING) as model:
            events = harness.turn(harness.request(model))
            await harness.hear(events)
            started = time.monotonic()
            await events.aclose()
            seconds = time.monotonic() - started
            await _hang_up(harness, model)
            return seconds

    await _within_a_second(attempt, "a turn that is closed")


@case("cancel", "conformance.md#cancel")
async def cancelled_while_speaking(harness: Harness) -> None:
    """Cancelling the turn in the middle of an answer ends it, and its connection."""
    await _within_a_second(partial(_cancel_while, harness, _SPEAKING, speaking=True), "a turn that is over")


@case("cancel", "conformance.md#cancel")
async def cancelled_before_the_answer(harness: Harness) -> None:
    """Cancelling the turn before the model has said anything ends it, and its connection."""
    for step in (Stall("request"), Stall("headers")):
        await _within_a_second(partial(_cancel_while, harness, step, speaking=False), "a turn that is over")


class _EndlessTool:
    """A tool that runs until it is cancelled."""

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
    """Cancelling the turn while a tool runs cancels the tool, and the model is not asked again."""

    async def attempt() -> float:
        tool = _EndlessTool()
        with harness.model(Reply(tool_calls=(shell_call(),)), DONE) as model:
            events = harness.turn(harness.request(model), ScriptedToolbox(tool))
            task = asyncio.create_task(_listen(events, asyncio.Event()))
            await _come_about(harness, tool.started, task, "the tool to run")
            seconds = await _cancel(harness, task)
            check(tool.cancelled.is_set(), "the tool to be cancelled with its turn", "one that runs on")
            check_equal(len(model.requests), 1, "requests to the model:")
            return seconds

    await _within_a_second(attempt, "a turn that is over")


@case("cancel", "conformance.md#cancel")
async def nothing_runs_on(harness: Harness) -> None:
    """After a turn was closed, none of its tasks is left."""
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
    """Cancelling one turn leaves another one alone."""
    with harness.model(_SPEAKING) as given_up, harness.model(Reply("one two three", gap=0.05)) as other:
        heard = asyncio.Event()
        task = asyncio.create_task(_listen(harness.turn(harness.request(given_up)), heard))
        going_on = asyncio.create_task(harness.run_request(harness.request(other), other))
        await _come_about(harness, heard, task, "a TextDelta of an answer that has begun")
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
