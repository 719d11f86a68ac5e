"""Answers in a Redis that several servers share, within VMPilot's own limit, regardless of the server's evictions.

Entries are strings that expire. A sorted set stores the order of their use, a hash their sizes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from vmpilot.cache._answer_cache import CacheError, CacheStats
from vmpilot.contract import Secret

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SPACE = "vmpilot:{answers:1}:"
"""The prefix of all keys; the braces keep them on one node of a cluster."""
_ENTRY = f"{_SPACE}entry:"
_USED, _SIZES, _FACTS = f"{_SPACE}used", f"{_SPACE}sizes", f"{_SPACE}facts"
_AGE = 30 * 24 * 3600
"""Seconds after which an unused entry expires."""
_PATIENCE = 5.0
"""Seconds to wait for the server; a turn waits less."""
_ROW = 300
"""The approximate overhead of an entry in bytes, by Redis's `MEMORY USAGE`."""
_LARGEST_SHARE = 8
_BATCH = 1000
_LONGEST_QUOTE = 200
_UNKNOWN_USER = re.compile(r"username-password|\bauth", re.IGNORECASE)
_NO_MEMORY = re.compile(r"\bOOM\b")
"""Which exception class the library raises for it depends on the command, the protocol and the versions."""

# A server that rejects writes, or a key of another type with this name, must not prevent reading.
_LOOK_UP = """
local entry = redis.pcall('GET', KEYS[1])
local found = type(entry) == 'string'
redis.pcall('HINCRBY', KEYS[4], found and 'hits' or 'misses', 1)
if not found then return false end
redis.pcall('ZADD', KEYS[2], 'XX', redis.pcall('HINCRBY', KEYS[4], 'clock', 1), ARGV[1])
for _, key in ipairs(KEYS) do redis.pcall('EXPIRE', key, ARGV[2]) end
return entry
"""
_KEEP = """
local size = #ARGV[3] + ARGV[5]
local total = redis.call('HINCRBY', KEYS[4], 'bytes', size - (redis.call('HGET', KEYS[3], ARGV[1]) or 0))
redis.call('HSET', KEYS[3], ARGV[1], size)
redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[4], 'clock', 1), ARGV[1])
redis.call('SET', KEYS[1], ARGV[3])
while total > tonumber(ARGV[4]) do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  if not oldest then break end
  redis.call('DEL', ARGV[6] .. oldest)
  total = redis.call('HINCRBY', KEYS[4], 'bytes', 0 - (redis.call('HGET', KEYS[3], oldest) or 0))
  redis.call('HDEL', KEYS[3], oldest)
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end
"""


class RedisCache:
    """The cache in the Redis at `url`; `place` names it in messages. `limit` is in bytes, for all servers together."""

    def __init__(self, url: Secret, *, place: str, limit: int) -> None:
        self.place = place
        self._url = url
        self._limit = limit
        self._client: Redis | None = None

    async def prepare(self) -> None:
        """See `AnswerCache`; importing the client library takes 0.3 s or more."""
        await asyncio.to_thread(import_module, "redis.asyncio")

    async def get(self, name: str) -> bytes | None:
        """See `AnswerCache`."""
        entry = await self._run(_LOOK_UP, name, name, _AGE)
        return entry if isinstance(entry, bytes) else None

    async def put(self, name: str, entry: bytes) -> None:
        """See `AnswerCache`; an entry larger than an eighth of the limit is not stored."""
        if len(entry) <= self._limit // _LARGEST_SHARE:
            await self._run(_KEEP, name, name, _AGE, entry, self._limit, _ROW, _ENTRY)

    async def stats(self) -> CacheStats:
        """See `AnswerCache`; it counts the entries that exist, because the server may have evicted some."""
        with self._translated_errors():
            client = self._connect()
            names: list[Any] = await client.zrange(_USED, 0, -1)
            sizes: list[int] = []
            for at in range(0, len(names), _BATCH):
                pipeline = client.pipeline(transaction=False)
                for name in names[at : at + _BATCH]:
                    pipeline.strlen(_ENTRY.encode() + name)
                sizes += [size + _ROW for size in await pipeline.execute() if size]
            hits, misses = (int(value or 0) for value in await client.hmget(_FACTS, ["hits", "misses"]))
        return CacheStats(len(sizes), sum(sizes), hits, misses)

    async def clear(self) -> int:
        """See `AnswerCache`; keys of other programs are kept."""
        count = 0
        with self._translated_errors():
            client = self._connect()
            async for keys in _batches(client):
                deleted = await client.unlink(*keys)
                count += deleted - sum(not key.startswith(_ENTRY.encode()) for key in keys)
        return count

    async def close(self) -> None:
        """See `AnswerCache`."""
        if self._client is not None:
            from redis import RedisError

            client, self._client = self._client, None
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _run(self, script: str, name: str, *arguments: Any) -> Any:
        with self._translated_errors():
            return await self._connect().eval(script, 4, _ENTRY + name, _USED, _SIZES, _FACTS, *arguments)

    def _connect(self) -> Redis:
        """The client, which connects on use. Raises `ValueError` for invalid parameters."""
        if self._client is None:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._client = Redis.from_url(
                self._url.reveal(),
                socket_connect_timeout=_PATIENCE,
                socket_timeout=_PATIENCE,
                retry=Retry(NoBackoff(), 1),
            )
        return self._client

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        from redis import exceptions as failures

        try:
            yield
        except failures.TimeoutError as error:
            raise CacheError(f"{self.place} does not answer") from error
        except (failures.RedisError, OSError, ValueError, TypeError) as error:  # the last two for invalid parameters
            raise CacheError(f"{self.place} {self._describe(error)}") from error

    def _describe(self, error: Exception) -> str:
        """The message of the library or the server, in one short line without the password."""
        text = " ".join(str(error).split())
        if _UNKNOWN_USER.search(text):
            return "rejects the user or the password"
        if _NO_MEMORY.search(text):
            return "is out of memory"
        password = urlsplit(self._url.reveal()).password or ""
        for secret in filter(None, (self._url.reveal(), password, unquote(password))):
            text = text.replace(secret, "…")
        return f"cannot be used ({text[:_LONGEST_QUOTE].rstrip('.') or type(error).__name__})"


async def _batches(client: Redis) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    pattern = _SPACE.replace("{", "[{]").replace("}", "[}]") + "*"
    async for key in client.scan_iter(match=pattern, count=_BATCH):
        batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
