"""The cache around a turn's calls to the model: answers what it can, and never costs the turn more than a second."""

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
"""Seconds that a turn waits for a cache that is slow or not there, all its calls together."""
_QUICK = 0.02
"""Seconds; what a use takes up to here is not counted, or a long turn would wear out a sound cache."""

FROM_CACHE = "From the cache, at no cost: this was asked before in the same words."
"""Told once in a turn."""

Found = TypeVar("Found")


class TurnCache:
    """A cache as one turn uses it. Where it fails, that is told once, and the turn goes on without it.

    Only answers of temperature 0 are cached, or all with `any_temperature`. `comparable`: see `entry_key`.
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
        """The key of a request whose answer may be cached."""
        if not self._usable or not self._admits(call.settings):
            return None
        return entry_key(call, self._origin, comparable=self._comparable)

    async def find(self, key: EntryKey) -> MessageCompleted | None:
        """The answer that is kept; one that is not ours, or broken, is none."""
        await self._cache.prepare()
        entry = await self._within_patience(lambda: self._cache.get(key.name))
        sealed = None if entry is None else key.unseal(entry)
        answer = None if sealed is None else decode_answer(sealed)
        if answer is not None and not self._replayed:
            self._replayed = True
            self._notices.append(Notice(FROM_CACHE))
        return answer

    async def keep(self, key: EntryKey, answer: MessageCompleted, *, sent: ModelSettings) -> None:
        """Keep an answer that is worth it; `sent` are the settings with which it was got in the end."""
        if self._usable and self._admits(sent) and is_whole(answer.message):
            await self._within_patience(lambda: self._cache.put(key.name, key.seal(encode_answer(answer))))

    def take_notices(self) -> tuple[Notice, ...]:
        """What is to be told since it was asked last."""
        told, self._notices = tuple(self._notices), []
        return told

    def _admits(self, settings: ModelSettings) -> bool:
        """Whether the temperature is one at which answers are cached; the provider's own is not."""
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
        self._notices.append(Notice(f"Nothing more is cached in this turn: {why}."))


def cached(stream_once: StreamOnce, cache: TurnCache, *, sent: Callable[[], ModelSettings] | None = None) -> StreamOnce:
    """`stream_once` with the cache in front: a request that was made before is answered from it, and not made.

    To go around whatever gets one answer of one model: tries, repairs and the text protocol are inside, other models
    outside. A new answer is kept when it is whole; what is in the call's messages must be masked already. `sent` tells
    the settings with which it was got, where repairs may have changed them.
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
