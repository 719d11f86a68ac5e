"""Opens the cache that a setting selects. Nothing is imported, created or connected before its first use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from vmpilot.cache._answer_cache import AnswerCache
from vmpilot.cache._disk import DiskCache
from vmpilot.cache._redis import RedisCache
from vmpilot.config import CachePlace
from vmpilot.contract import UsageError
from vmpilot.installation import install_command


def open_cache(place: CachePlace, *, folder: Path, megabytes: int) -> AnswerCache | None:
    """The cache at this place, or None for `off`; on disk, it is in `folder`. Its limit is `megabytes` (10**6 bytes).

    Raises `UsageError` for Redis if its client library is not installed.
    """
    if place.kind == "off":
        return None
    if place.url is None:
        return DiskCache(folder, limit=megabytes * 10**6)
    if find_spec("redis") is None:
        raise UsageError(
            f"A cache in Redis needs the Redis client library. Run `{install_command('vmpilot-core[redis]')}`, "
            'or set cache to "disk".'
        )
    return RedisCache(place.url, place=f"the cache in {place}", limit=megabytes * 10**6)
