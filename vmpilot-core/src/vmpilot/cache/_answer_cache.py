"""What a cache of answers can do, wherever it is. It holds bytes under names and knows nothing of what they say."""

from __future__ import annotations

from typing import Protocol

import msgspec


class CacheError(Exception):
    """The cache cannot be used; the text is a sentence for the person, without password."""


class CacheStats(msgspec.Struct, frozen=True):
    """What a cache holds, and how often something was looked up in it since it was begun."""

    entries: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0


class AnswerCache(Protocol):
    """A cache that other processes may use at the same time. All but `prepare` and `close` raise `CacheError`."""

    place: str
    """What to call it in a sentence: `the cache in /path`."""

    async def prepare(self) -> None:
        """Load what the first use needs, which is no time that the cache takes. Never raises."""
        ...

    async def get(self, name: str) -> bytes | None:
        """What is kept under the name."""
        ...

    async def put(self, name: str, entry: bytes) -> None:
        """Keep it in place of what was there; what was not used for longest goes where there is no room."""
        ...

    async def stats(self) -> CacheStats:
        """What it holds."""
        ...

    async def clear(self) -> int:
        """Delete everything, and say how many entries that were."""
        ...

    async def close(self) -> None:
        """Let go of files and connections; the next use opens them anew. Never raises."""
        ...
