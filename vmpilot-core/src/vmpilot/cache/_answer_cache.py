"""The interface of a cache of answers. It stores bytes under names without interpreting them."""

from __future__ import annotations

from typing import Protocol

import msgspec


class CacheError(Exception):
    """The cache cannot be used; the text is a message for the user and shows no password."""


class CacheStats(msgspec.Struct, frozen=True):
    """A cache's contents, and its number of lookups since it was created."""

    entries: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0


class AnswerCache(Protocol):
    """A cache that other processes may use concurrently. All but `prepare` and `close` raise `CacheError`."""

    place: str
    """Its name in messages: `the cache in /path`."""

    async def prepare(self) -> None:
        """Import the libraries for the first use; this does not count as time spent on the cache. Never raises."""
        ...

    async def get(self, name: str) -> bytes | None:
        """The entry of this name, or None."""
        ...

    async def put(self, name: str, entry: bytes) -> None:
        """Store the entry, replacing one of the same name; the least recently used ones are evicted."""
        ...

    async def stats(self) -> CacheStats:
        """The cache's contents and lookups."""
        ...

    async def clear(self) -> int:
        """Delete everything and return the number of entries."""
        ...

    async def close(self) -> None:
        """Close files and connections; the next use opens them again. Never raises."""
        ...
