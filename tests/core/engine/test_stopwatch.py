from __future__ import annotations

import asyncio

from vmpilot.engine.stopwatch import Stopwatch


async def test_the_callback_runs_once_when_the_time_is_up() -> None:
    called = asyncio.Event()
    calls: list[float] = []
    watch = Stopwatch()
    watch.call_at(0.02, lambda: calls.append(watch.seconds))
    watch.call_at(0.04, called.set)
    watch.start()
    async with asyncio.timeout(10):
        await called.wait()
    with watch.paused():
        pass
    watch.stop()
    assert len(calls) == 1
    assert calls[0] >= 0.015


async def test_time_stops_while_it_is_paused() -> None:
    called = asyncio.Event()
    watch = Stopwatch()
    watch.call_at(0.05, called.set)
    watch.start()
    with watch.paused():
        with watch.paused():
            await asyncio.sleep(0.06)
        await asyncio.sleep(0.06)
        before = watch.seconds
        assert not called.is_set()
    async with asyncio.timeout(10):
        await called.wait()
    assert before < watch.seconds


async def test_a_pause_that_ends_after_the_stop_starts_nothing() -> None:
    called = asyncio.Event()
    watch = Stopwatch()
    watch.call_at(0.02, called.set)
    watch.start()
    with watch.paused():
        watch.stop()
    seconds = watch.seconds
    await asyncio.sleep(0.05)
    assert watch.seconds == seconds
    assert not called.is_set()


async def test_it_can_be_paused_before_it_starts() -> None:
    watch = Stopwatch()
    with watch.paused():
        watch.start()
        assert watch.seconds == 0.0
    watch.stop()
