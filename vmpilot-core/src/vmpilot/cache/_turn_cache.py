"""The cache around a turn's calls to the model; it delays the turn by a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from vmpilot.cache._answer_cache import AnswerCache, CacheError
from vmpilot.cache._key import EntryKey, Origin, entry_key
from vmpilot.cache._replay import decode_answer, deltas_of, encode_answer, is_whole
from vmpilot.contract import BackendEvent, Message, MessageCompleted, ModelCall, ModelSettings, Notice, Usage

PATIENCE = 1.0
"""Seconds that a turn waits for a slow or unreachable cache, in total."""
_QUICK = 0.02
"""Seconds that each use may take without being counted; otherwise, many calls would add up to the limit."""

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
        self._problem: Notice | None = None

    async def answer(
        self,
        call: ModelCall,
        ask: Callable[[], Awaitable[MessageCompleted]],
        emit: Callable[[BackendEvent], None],
        *,
        sent: Callable[[], ModelSettings],
    ) -> MessageCompleted:
        """The cached answer to the call, or the answer of `ask`, which is cached if it is complete.

        `ask` returns one answer of one model, after retries and repairs; `sent` returns the settings of its final
        request. Secrets in the messages must be masked already.
        """
        key = None
        if self._usable and self._admits(call.settings):
            key = entry_key(call, self._origin, comparable=self._comparable)
        if key is None:
            return await ask()
        found = await self._find(key)
        if found is not None and not self._replayed:
            self._replayed = True
            emit(Notice(FROM_CACHE))
        self._tell_problem(emit)
        if found is not None:
            for piece in deltas_of(found.message):
                emit(piece)
                await asyncio.sleep(0)  # let other turns run
            return MessageCompleted(found.message, Usage())  # it was paid for already
        answer = await ask()
        if self._usable and self._admits(sent()) and is_whole(answer.message):
            await self._within_patience(lambda: self._cache.put(key.name, key.seal(encode_answer(answer))))
            self._tell_problem(emit)
        return answer

    async def _find(self, key: EntryKey) -> MessageCompleted | None:
        """The cached answer, or None if it is missing, foreign or corrupt."""
        await self._cache.prepare()
        entry = await self._within_patience(lambda: self._cache.get(key.name))
        sealed = None if entry is None else key.unseal(entry)
        return None if sealed is None else decode_answer(sealed)

    def _tell_problem(self, emit: Callable[[BackendEvent], None]) -> None:
        """Report once why the cache is off."""
        problem, self._problem = self._problem, None
        if problem is not None:
            emit(problem)

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
        self._problem = Notice(f"The cache is off for the rest of this request: {why}.")
