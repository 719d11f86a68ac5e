"""Caches on a real disk and in a real Redis, and a model that counts how often it is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.redis_server import RedisServer, redis, running_redis

from vmpilot.cache import AnswerCache, Origin, TurnCache, open_cache
from vmpilot.cache._key import EntryKey, entry_key
from vmpilot.config import read_cache_place
from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ModelCall,
    ModelSettings,
    Secret,
    TextDelta,
    Usage,
    UserMessage,
)

__all__ = ["redis", "running_redis"]

OpenCache: TypeAlias = Callable[..., AnswerCache]

BECAUSE = MessageCompleted(AssistantMessage("Because."), Usage(100, 20))
SETTINGS = ModelSettings(temperature=0.0, base_url="http://127.0.0.1:1/v1", api_key=Secret("sk-cache-0123456789"))


def make_call(text: str = "Why?", **settings: Any) -> ModelCall:
    """A call that can be cached; `settings` change it."""
    changed = {name: getattr(SETTINGS, name) for name in ModelSettings.__struct_fields__} | settings
    return ModelCall((UserMessage.from_text(text),), "Be brief.", "openai/m", ModelSettings(**changed), ())


def key_of(call: ModelCall) -> EntryKey:
    """The key under which `Turns.ask` caches the answer."""
    key = entry_key(call, Origin("engine 1"), comparable=lambda message: message)
    assert key is not None
    return key


@dataclass
class Model:
    """A `stream_once` that always yields `answer`, after `before`."""

    answer: MessageCompleted = BECAUSE
    before: tuple[BackendEvent, ...] = (TextDelta("Because."),)
    asked: list[ModelCall] = field(default_factory=list)

    async def stream_once(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        self.asked.append(call)
        for event in self.before:
            yield event
        yield self.answer


@dataclass
class Turns:
    """Turns with the cache, each with its own time limit."""

    cache: AnswerCache
    model: Model = field(default_factory=Model)

    async def ask(
        self, call: ModelCall | None = None, *, origin: Origin | None = None, **options: Any
    ) -> list[BackendEvent]:
        """The events of one call in a separate turn."""
        turn = TurnCache(self.cache, origin or Origin("engine 1"), **options)
        return await self.go_on(turn, call)

    async def go_on(
        self, turn: TurnCache, call: ModelCall | None = None, *, sent: ModelSettings | None = None
    ) -> list[BackendEvent]:
        """The events of one call in a turn, its message last."""
        call = call or make_call()
        events: list[BackendEvent] = []

        async def ask() -> MessageCompleted:
            async for event in self.model.stream_once(call):
                if isinstance(event, MessageCompleted):
                    return event
                events.append(event)
            raise AssertionError("the model gave no message")

        completed = await turn.answer(call, ask, events.append, sent=lambda: sent or call.settings)
        return [*events, completed]


@pytest.fixture(params=["disk", "redis"])
async def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenCache]:
    """Opens the same cache each time, as another process would; closes all at the end."""
    server: RedisServer | None = request.getfixturevalue("redis") if request.param == "redis" else None
    place = read_cache_place("disk" if server is None else server.url)
    opened: list[AnswerCache] = []

    def open_it(megabytes: int = 200) -> AnswerCache:
        cache = open_cache(place, folder=tmp_path / "answers", megabytes=megabytes)
        assert cache is not None
        opened.append(cache)
        return cache

    yield open_it
    for cache in opened:
        await cache.close()


@pytest.fixture
def turns(open_one: OpenCache) -> Turns:
    """Turns with an empty cache."""
    return Turns(open_one())
