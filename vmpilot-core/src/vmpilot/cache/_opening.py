"""Open the cache that a setting names. Nothing is imported, made or connected to before its first use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from vmpilot.cache._answer_cache import AnswerCache
from vmpilot.cache._disk import DiskCache
from vmpilot.cache._redis import RedisCache
from vmpilot.config.cache_place import CachePlace
from vmpilot.contract import UsageError
from vmpilot.installation import install_command


def open_cache(place: CachePlace, *, folder: Path, megabytes: int) -> AnswerCache | None:
    """The cache at the place, None for `off`; on disk it is in `folder`. It keeps at most so many megabytes (10**6).

    Raises `UsageError` for a Redis where its client library is not installed.
    """
    if place.kind == "off":
        return None
    if place.url is None:
        return DiskCache(folder, limit=megabytes * 10**6)
    if find_spec("redis") is None:
        raise UsageError(
            f"a cache in Redis needs its client library: run `{install_command('vmpilot-core[redis]')}`, "
            'or set cache to "disk"'
        )
    return RedisCache(place.url, place=f"the cache in {place}", limit=megabytes * 10**6)
