"""The subcommands for the cache of answers: what it holds, and emptying it."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from vmpilot.cache import AnswerCache, CacheError, CacheStats, open_cache
from vmpilot.cli._options import given_settings
from vmpilot.config import CachePlace, Settings, current_environment, load_settings
from vmpilot.contract import VMPilotError

Found = TypeVar("Found")


def show_stats(options: argparse.Namespace) -> int:
    """What the cache holds; of one that is off, what was left on disk. Raises `VMPilotError`."""
    settings, place, stats = _with_cache(options, lambda cache: cache.stats())
    limit = settings.cache_megabytes * 10**6
    if options.output == "text":
        print(_in_words(settings, place, stats, limit=limit))
    else:
        found = {"entries": stats.entries, "bytes": stats.bytes, "hits": stats.hits, "misses": stats.misses}
        print(json.dumps({"cache": str(settings.cache), "place": place, **found, "limit_bytes": limit}))
    return 0


def clear_cache(options: argparse.Namespace) -> int:
    """Delete all answers. Raises `VMPilotError`."""
    settings, place, deleted = _with_cache(options, lambda cache: cache.clear())
    if options.output == "text":
        print(f"deleted {_count(deleted, 'answer')} from {place}")
    else:
        print(json.dumps({"cache": str(settings.cache), "place": place, "deleted": deleted}))
    return 0


def _with_cache(
    options: argparse.Namespace, use: Callable[[AnswerCache], Awaitable[Found]]
) -> tuple[Settings, str, Found]:
    """The settings, what the cache is called, and what came of its use; the one on disk where it is off."""
    environment = current_environment()
    settings = load_settings(environment, folder=Path(options.cwd).resolve(), options=given_settings(options)).settings
    place = CachePlace("disk") if settings.cache.kind == "off" else settings.cache
    cache = open_cache(place, folder=environment.answers_folder, megabytes=settings.cache_megabytes)
    assert cache is not None, "the place is not off"  # noqa: S101

    async def run() -> Found:
        try:
            return await use(cache)
        finally:
            await cache.close()

    try:
        return settings, cache.place, asyncio.run(run())
    except CacheError as error:
        raise VMPilotError(str(error)) from error


def _in_words(settings: Settings, place: str, stats: CacheStats, *, limit: int) -> str:
    looked_up = stats.hits + stats.misses
    lines = [f"{_count(stats.entries, 'answer')} in {place}: {_size(stats.bytes)} of {_size(limit)}"]
    lines.append(f"found {stats.hits:,} of {_count(looked_up, 'time')} that one was looked for")
    if settings.cache.kind == "off":
        lines.append('The cache is off: cache = "disk" in your configuration file turns it on, for temperature 0.')
    return "\n".join(lines)


def _size(size: int) -> str:
    return f"{size / 10**6:,.1f} MB" if size >= 10**6 else f"{size / 10**3:,.1f} kB"


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
