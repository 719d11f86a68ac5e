"""The cache around a turn's calls to the model; it never delays the turn by more than a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from vmpilot.cache._answer_cache import AnswerCache, CacheError
from vmpilot.cache._key import EntryKey, Origin, entry_key
from vmpilot.cache._replay import decode_answer, encode_answer, is_whole, replay
from vmpilot.contract import BackendEvent, Message, MessageCompleted, ModelCall, ModelSettings, Notice, StreamOnce

PATIENCE = 1.0
"""Seconds that a turn waits for a slow or unreachable cache, all calls together."""
_QUICK = 0.02
"""Seconds that each use may take without counting, or many calls would add up to the limit."""

FROM_CACHE = "Answered from the cache at no cost: the same request was made before."
"""Shown once per turn."""

Found = TypeVar("Found")


class TurnCache:
    """A cache as one turn uses it. If it fails, the user is notified once, and the turn continues without it.

    Only answers at temperature 0 are cached, or all with `any_temperature`. `comparable`: see `entry_key`.
    """

    def __init__(
        self,
        cache: AnswerCache,
        origin: Origin,
        *,
        any_temperature: bool = False,
        comparable: Callable[[Message], Message] = lambda message: message,
    ) -> None:
        self._cache = cache
        self._origin = origin
        self._any_temperature = any_temperature
        self._comparable = comparable
        self._left = PATIENCE
        self._usable = True
        self._replayed = False
        self._notices: list[Notice] = []

    def key_for(self, call: ModelCall) -> EntryKey | None:
        """The key of a request, None if its answer may not be cached."""
        if not self._usable or not self._admits(call.settings):
            return None
        return entry_key(call, self._origin, comparable=self._comparable)

    async def find(self, key: EntryKey) -> MessageCompleted | None:
        """The cached answer, or None if it is missing, foreign or corrupt."""
        await self._cache.prepare()
        entry = await self._within_patience(lambda: self._cache.get(key.name))
        sealed = None if entry is None else key.unseal(entry)
        answer = None if sealed is None else decode_answer(sealed)
        if answer is not None and not self._replayed:
            self._replayed = True
            self._notices.append(Notice(FROM_CACHE))
        return answer

    async def keep(self, key: EntryKey, answer: MessageCompleted, *, sent: ModelSettings) -> None:
        """Store a complete answer; `sent` are the settings of the request that produced it."""
        if self._usable and self._admits(sent) and is_whole(answer.message):
            await self._within_patience(lambda: self._cache.put(key.name, key.seal(encode_answer(answer))))

    def take_notices(self) -> tuple[Notice, ...]:
        """The notices since the last call."""
        notices, self._notices = tuple(self._notices), []
        return notices

    def _admits(self, settings: ModelSettings) -> bool:
        """Whether answers at this temperature are cached; the provider's default is not known to be 0."""
        repeatable = settings.temperature == 0 and "temperature" not in settings.omitted
        return repeatable or self._any_temperature

    async def _within_patience(self, use: Callable[[], Awaitable[Found]]) -> Found | None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._left):
                return await use()
        except TimeoutError:
            self._give_up(f"{self._cache.place} is too slow")
        except CacheError as error:
            self._give_up(str(error))
        finally:
            self._left -= max(0.0, loop.time() - started - _QUICK)
        return None

    def _give_up(self, why: str) -> None:
        self._usable = False
        self._notices.append(Notice(f"The cache is off for the rest of this request: {why}."))


def cached(stream_once: StreamOnce, cache: TurnCache, *, sent: Callable[[], ModelSettings] | None = None) -> StreamOnce:
    """`stream_once` with the cache in front: a repeated request is answered from it and not sent.

    Wrap it around what produces one answer of one model: retries, repairs and the text protocol are inside, fallback
    models outside. A new answer is stored if it is complete. Secrets in the call's messages must be masked already.
    `sent` returns the settings of the final request, if repairs may have changed them.
    """

    async def stream(call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        key = cache.key_for(call)
        answer = None if key is None else await cache.find(key)
        for notice in cache.take_notices():
            yield notice
        async with aclosing(stream_once(call) if answer is None else replay(answer)) as events:
            async for event in events:
                if isinstance(event, MessageCompleted) and key is not None and answer is None:
                    await cache.keep(key, event, sent=call.settings if sent is None else sent())
                    for notice in cache.take_notices():
                        yield notice
                yield event

    return stream
