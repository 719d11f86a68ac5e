"""Both caches store bytes under names: limits, counting, clearing, and concurrent use."""

from __future__ import annotations

import asyncio

from vmpilot.cache import CacheStats

from .conftest import OpenCache

SIZE = 50_000


async def test_the_least_recently_used_entry_is_evicted(open_one: OpenCache) -> None:
    cache = open_one(megabytes=1)
    await cache.put("first", b"f" * SIZE)
    await cache.put("second", b"s" * SIZE)
    for number in range(30):
        await cache.put(f"later {number}", b"l" * SIZE)
        assert await cache.get("first") == b"f" * SIZE
        assert (await cache.stats()).bytes <= 1_000_000
    assert await cache.get("second") is None
    assert await cache.get("later 0") is None
    assert await cache.get("later 29") is not None


async def test_an_entry_that_is_replaced_counts_once(open_one: OpenCache) -> None:
    cache = open_one(megabytes=1)
    for _ in range(40):
        await cache.put("same", b"x" * SIZE)
    await cache.put("other", b"y" * SIZE)
    assert await cache.get("same") is not None
    stats = await cache.stats()
    assert stats.entries == 2
    assert 2 * SIZE < stats.bytes < 2.2 * SIZE


async def test_one_entry_does_not_evict_all_others(open_one: OpenCache) -> None:
    cache = open_one(megabytes=1)
    await cache.put("small", b"x")
    await cache.put("huge", b"x" * 900_000)
    assert await cache.get("huge") is None
    assert await cache.get("small") == b"x"


async def test_a_lower_limit_applies_from_the_next_entry(open_one: OpenCache) -> None:
    cache = open_one(megabytes=3)
    for number in range(50):
        await cache.put(str(number), b"x" * SIZE)
    lower = open_one(megabytes=1)
    await lower.put("new", b"x" * SIZE)
    assert (await lower.stats()).bytes <= 1_000_000
    assert await lower.get("new") is not None


async def test_stats_and_clear(open_one: OpenCache) -> None:
    cache = open_one()
    assert await cache.stats() == CacheStats()
    assert await cache.clear() == 0
    for name in "abc":
        await cache.put(name, b"12345")
    for name in "abx":
        await cache.get(name)
    stats = await open_one().stats()
    assert (stats.entries, stats.hits, stats.misses) == (3, 2, 1)
    assert 15 < stats.bytes < 3_000
    assert await open_one().clear() == 3
    assert await cache.stats() == CacheStats()
    assert await cache.get("a") is None


async def test_concurrent_use(open_one: OpenCache) -> None:
    caches = [open_one() for _ in range(4)]

    async def use(number: int) -> bytes | None:
        cache = caches[number % 4]
        await cache.put(str(number), str(number).encode())
        return await cache.get(str(number))

    assert await asyncio.gather(*map(use, range(100))) == [str(number).encode() for number in range(100)]
    assert (await caches[0].stats()).entries == 100


async def test_a_closed_cache_reopens_on_use(open_one: OpenCache) -> None:
    cache = open_one()
    await cache.close()
    await cache.put("a", b"1")
    await cache.close()
    assert await cache.get("a") == b"1"
    await cache.close()
    await cache.close()
