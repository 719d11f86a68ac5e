from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.engine.order import CallOrder


class Log:
    """Calls that enter and leave in order; each stays for `rounds` iterations of the event loop."""

    def __init__(self) -> None:
        self.order = CallOrder()
        self.running: set[int] = set()
        self.entered: list[int] = []
        self.together: list[frozenset[int]] = []
        self.begun = asyncio.Event()

    async def call(self, number: int, *, alone: bool, rounds: int = 3) -> None:
        async with self.order.turn() as turn:
            await turn.decide(alone=alone)
            self.entered.append(number)
            self.begun.set()
            self.running.add(number)
            self.together.append(frozenset(self.running))
            for _ in range(rounds):
                await asyncio.sleep(0)
            self.running.remove(number)


async def run_turn(kinds: Sequence[bool], rounds: Sequence[int]) -> Log:
    log = Log()
    calls = (
        log.call(number, alone=alone, rounds=count)
        for number, (alone, count) in enumerate(zip(kinds, rounds, strict=True))
    )
    async with asyncio.timeout(5):
        await asyncio.gather(*calls)
    return log


async def test_concurrent_calls_run_in_parallel() -> None:
    log = await run_turn([False] * 4, [50] * 4)
    assert log.together[-1] == {0, 1, 2, 3}


async def test_an_exclusive_call_waits_for_earlier_calls_and_blocks_later_ones() -> None:
    log = await run_turn([False, False, True, False, False], [50, 50, 5, 50, 1])
    assert log.together == [{0}, {0, 1}, {2}, {3}, {3, 4}]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12))
def test_exclusive_calls_always_run_alone_and_in_order(calls: list[tuple[bool, int]]) -> None:
    log = asyncio.run(run_turn([alone for alone, _ in calls], [rounds for _, rounds in calls]))
    alone = [number for number, (alone, _) in enumerate(calls) if alone]
    assert all(len(together) == 1 for together in log.together if together & set(alone))
    assert sorted(log.entered) == list(range(len(calls)))
    for barrier in alone:
        position = log.entered.index(barrier)
        assert set(log.entered[:position]) == set(range(barrier))


@pytest.mark.parametrize("alone", [False, True])
async def test_a_canceled_call_lets_the_next_one_run(alone: bool) -> None:
    log = Log()
    first = asyncio.create_task(log.call(0, alone=True, rounds=50))
    second = asyncio.create_task(log.call(1, alone=alone))
    third = asyncio.create_task(log.call(2, alone=True))
    await log.begun.wait()
    second.cancel()
    await asyncio.wait([first, second, third], timeout=5)
    assert log.entered == [0, 2]
    assert second.cancelled()
