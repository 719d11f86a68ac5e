"""`vmpilot cache`: show or clear the answer cache."""

from __future__ import annotations

import argparse
import json

from vmpilot.cli._options import add_common_options, given_settings
from vmpilot.cli._parser import Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from vmpilot.cache import AnswerCache
    from vmpilot.config import Settings


def add_parser(commands: Parser) -> None:
    """The actions on the cache."""
    cache = commands.add_command("cache", description="Show or clear the answer cache.")
    for name, summary in (("stats", "Show what is in the cache"), ("clear", "Delete all cached answers")):
        action = cache.add_command(name, summary)
        action.add_argument("--cache", metavar="WHERE", help="disk or redis://… [default: the configured one]")
        add_common_options(action, folder=True)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action; if the cache is off, on what was left on disk. Raises `VMPilotError`."""
    import asyncio
    from pathlib import Path

    from vmpilot.cache import CacheError, open_cache
    from vmpilot.config import CachePlace, current_environment, load_settings
    from vmpilot.contract import VMPilotError

    environment = current_environment()
    folder = Path(arguments.cwd).resolve()
    settings = load_settings(environment, folder=folder, options=given_settings(arguments)).settings
    place = CachePlace("disk") if settings.cache.kind == "off" else settings.cache
    cache = open_cache(place, folder=environment.answers_folder, megabytes=settings.cache_megabytes)
    assert cache is not None, "the place is not off"  # noqa: S101
    act = {"stats": _print_stats, "clear": _clear}[arguments.action]
    try:
        asyncio.run(act(cache, settings, as_json=arguments.output == "json"))
    except CacheError as error:
        raise VMPilotError(str(error)) from error
    return 0


async def _print_stats(cache: AnswerCache, settings: Settings, *, as_json: bool) -> None:
    from vmpilot.cli._table import count

    try:
        stats = await cache.stats()
    finally:
        await cache.close()
    limit = settings.cache_megabytes * 10**6
    if as_json:
        found = {"entries": stats.entries, "bytes": stats.bytes, "hits": stats.hits, "misses": stats.misses}
        print(json.dumps({"cache": str(settings.cache), "place": cache.place, **found, "limit_bytes": limit}))
        return
    print(f"{count(stats.entries, 'answer')} in {cache.place}: {_size(stats.bytes)} of {_size(limit)}")
    print(f"{count(stats.hits, 'hit')} in {count(stats.hits + stats.misses, 'lookup')}")
    if settings.cache.kind == "off":
        print('The cache is off. Set cache = "disk" in your configuration file to reuse answers at temperature 0.')


async def _clear(cache: AnswerCache, settings: Settings, *, as_json: bool) -> None:
    from vmpilot.cli._table import count

    try:
        deleted = await cache.clear()
    finally:
        await cache.close()
    if as_json:
        print(json.dumps({"cache": str(settings.cache), "place": cache.place, "deleted": deleted}))
    else:
        print(f"Deleted {count(deleted, 'answer')} from {cache.place}")


def _size(size: int) -> str:
    return f"{size / 10**6:,.1f} MB" if size >= 10**6 else f"{size / 10**3:,.1f} kB"
