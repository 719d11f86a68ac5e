"""Waiting for a stream always ends; the rest is tested through `SupervisedModelCalls`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ModelCall,
    ModelSettings,
    ModelTimeout,
    StreamInterrupted,
    TextDelta,
    TimeLimits,
)
from vmpilot.engine.calls import TimedStream

FINE = MessageCompleted(AssistantMessage("Fine."))


def call(**limits: float) -> ModelCall:
    return ModelCall((), "", "m", ModelSettings(time_limits=TimeLimits(**limits)), ())


async def deaf(released: asyncio.Event) -> AsyncGenerator[BackendEvent, None]:
    """Swallows its cancellation, as some libraries do, until it is released."""
    yield TextDelta("x")
    while not released.is_set():
        with suppress(asyncio.CancelledError):
            await released.wait()


async def test_a_stream_that_swallows_its_cancellation_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    released = asyncio.Event()
    with pytest.raises(ModelTimeout, match="stopped mid-answer"):  # noqa: PT012  leaving it belongs to it
        async with TimedStream(deaf(released), call(gap=0.05)) as stream:
            assert await stream.next_event() == TextDelta("x")
            await stream.next_event()
    released.set()
    assert "ignores its cancellation" in caplog.text


async def test_waiting_for_an_unresponsive_stream_can_be_canceled() -> None:
    released = asyncio.Event()

    async def wait() -> None:
        async with TimedStream(deaf(released), call()) as stream:
            while True:
                await stream.next_event()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.05)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert done
    assert task.cancelled()
    released.set()


async def test_events_before_an_error_are_delivered_before_it() -> None:
    async def breaks() -> AsyncGenerator[BackendEvent, None]:
        yield TextDelta("a")
        yield TextDelta("b")
        raise StreamInterrupted("broke")

    async with TimedStream(breaks(), call()) as stream:
        await asyncio.sleep(0.02)
        assert [await stream.next_event(), await stream.next_event()] == [TextDelta("a"), TextDelta("b")]
        with pytest.raises(StreamInterrupted, match="broke"):
            await stream.next_event()


async def test_a_stream_that_cancels_itself_is_an_interruption() -> None:
    async def gives_up() -> AsyncGenerator[BackendEvent, None]:
        yield TextDelta("a")
        raise asyncio.CancelledError

    async with TimedStream(gives_up(), call()) as stream:
        await stream.next_event()
        with pytest.raises(StreamInterrupted, match="canceled by its library"):
            await stream.next_event()


async def test_reading_ahead_is_limited() -> None:
    drawn = 0

    async def endless() -> AsyncGenerator[BackendEvent, None]:
        nonlocal drawn
        while True:
            drawn += 1
            yield TextDelta("x")

    async with TimedStream(endless(), call()) as stream:
        for taken in range(1, 2_000):
            await stream.next_event()
            assert drawn - taken <= 256
    after = drawn
    await asyncio.sleep(0.02)
    assert drawn == after


async def test_a_stream_is_closed_before_its_context_ends() -> None:
    closed = False

    async def slow_to_close() -> AsyncGenerator[BackendEvent, None]:
        nonlocal closed
        try:
            yield FINE
        finally:
            await asyncio.sleep(0.05)
            closed = True

    async with TimedStream(slow_to_close(), call()) as stream:
        assert await stream.next_event() == FINE
    assert closed
