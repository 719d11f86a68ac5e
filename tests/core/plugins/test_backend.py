"""The values that backends can yield, and the mapping of their errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest

from vmpilot.contract import (
    ENTRY_POINT_GROUP,
    PROJECT,
    AssistantMessage,
    BackendError,
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    ModelInfo,
    Notice,
    RateLimited,
    TextDelta,
    UserMessage,
    hookimpl,
    hooks,
)
from vmpilot.plugins import Backend, InstalledBackend
from vmpilot.testing.fakes import PlainModelCalls, ScriptedToolbox, stream_turn

INSTALLED = InstalledBackend("own", "vmpilot-own", "3.1", EntryPoint("own", "own", ENTRY_POINT_GROUP))
REQUEST = GenerationRequest("c", "t", (UserMessage.from_text("hello"),), "", "m")


def backend_of(**functions: Callable[..., Any]) -> Backend:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()}))
    manager.check_pending()
    return Backend(INSTALLED, manager.hook)


async def events_of(generate: Callable[..., Any]) -> list[BackendEvent]:
    return [event async for event in turn_of(generate)]


def turn_of(generate: Callable[..., Any]) -> AsyncGenerator[BackendEvent, None]:
    toolbox, model_calls = ScriptedToolbox(), PlainModelCalls(REQUEST)
    run = partial(backend_of(generate_responses=generate).run, REQUEST, toolbox, model_calls)
    return stream_turn(run, toolbox, model_calls)


def completed(text: str) -> MessageCompleted:
    return MessageCompleted(AssistantMessage(text))


async def test_text_becomes_deltas_and_one_message() -> None:
    async def generate() -> AsyncIterator[str]:
        yield "one "
        yield "two"

    assert await events_of(generate) == [TextDelta("one "), TextDelta("two"), completed("one two")]


async def test_a_sync_generator_runs_in_a_thread() -> None:
    threads: set[int] = set()

    def generate(request: GenerationRequest) -> Iterator[BackendEvent | str]:
        threads.add(threading.get_ident())
        yield Notice("thinking")
        yield request.messages[-1].text

    assert await events_of(generate) == [Notice("thinking"), TextDelta("hello"), completed("hello")]
    assert threading.get_ident() not in threads


async def test_events_pass_unchanged() -> None:
    given: list[BackendEvent] = [TextDelta("a"), Notice("n"), completed("a")]

    async def generate() -> AsyncIterator[BackendEvent]:
        for event in given:
            yield event

    assert await events_of(generate) == given


async def test_text_is_not_completed_twice() -> None:
    def generate() -> Iterator[BackendEvent | str]:
        yield "a"
        yield completed("a")
        yield "b"

    assert await events_of(generate) == [TextDelta("a"), completed("a"), TextDelta("b"), completed("b")]


async def test_an_async_iterator_that_is_not_a_generator() -> None:
    class Countdown:
        left = 2

        def __aiter__(self) -> Countdown:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return str(self.left)

    assert await events_of(lambda: Countdown())  # noqa: PLW0108  a hook is a function == [TextDelta("1"), TextDelta("0"), completed("10")]


async def test_a_list_is_accepted_like_a_generator() -> None:
    assert await events_of(lambda: ["a"]) == [TextDelta("a"), completed("a")]


async def test_events_of_a_coroutine_are_emitted_by_the_core() -> None:
    async def stream_once(_call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        yield TextDelta("a")
        yield completed("a")

    async def generate(request: GenerationRequest, model_calls: ModelCalls) -> None:
        assert await model_calls.ask(stream_once, request.messages) == AssistantMessage("a")

    assert await events_of(generate) == [TextDelta("a"), completed("a")]


async def test_a_generator_can_call_the_model_too() -> None:
    async def stream_once(_call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        yield completed("a")

    async def generate(request: GenerationRequest, model_calls: ModelCalls) -> AsyncIterator[BackendEvent]:
        yield Notice("before")
        await model_calls.ask(stream_once, request.messages)
        yield Notice("after")

    assert await events_of(generate) == [Notice("before"), completed("a"), Notice("after")]


async def test_other_return_types_are_rejected() -> None:
    async def returns_text() -> str:
        return "never shown"

    with pytest.raises(BackendError, match="backend own returned a str, not None"):
        await events_of(returns_text)
    with pytest.raises(BackendError, match="generate_responses returned a int, neither a coroutine nor a generator"):
        await events_of(lambda: 7)
    with pytest.raises(BackendError, match="returned a NoneType, neither a coroutine nor a generator"):
        await events_of(lambda: None)


@pytest.mark.parametrize("item", [None, 3, b"bytes", {"type": "text_delta"}, ["a"], UserMessage.from_text("x")])
async def test_anything_else_is_rejected(item: object) -> None:
    kind = type(item).__name__
    with pytest.raises(BackendError, match=f"backend own yielded a {kind}, which is neither an event nor text"):
        await events_of(lambda: iter([item]))


async def test_contract_errors_pass_and_others_are_wrapped() -> None:
    limited = RateLimited("slow down", retry_after=3.0)

    async def raise_limited() -> AsyncIterator[str]:
        yield "a"
        raise limited

    def raise_foreign() -> Iterator[str]:
        yield "a"
        raise KeyError("key")

    with pytest.raises(RateLimited) as kept:
        await events_of(raise_limited)
    assert kept.value is limited
    with pytest.raises(BackendError, match="backend own failed: KeyError: 'key'") as wrapped:
        await events_of(raise_foreign)
    assert isinstance(wrapped.value.__cause__, KeyError)


async def test_closing_a_turn_closes_the_backend() -> None:
    closed = list[str]()

    async def generate() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append("async")

    def generate_in_thread() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append("sync")

    for function in (generate, generate_in_thread):
        async with aclosing(turn_of(function)) as events:
            assert await anext(events) == TextDelta("a")
    assert closed == ["async", "sync"]


def test_information_of_a_backend_about_itself() -> None:
    info = BackendInfo("own", "9", capabilities=frozenset({"core"}))
    assert backend_of().info == BackendInfo("own", "3.1")
    assert backend_of(describe_backend=lambda: info).info == info


def test_information_of_a_backend_about_a_model() -> None:
    known = ModelInfo(context_window=5)

    def fail(model: str) -> ModelInfo:
        raise LookupError(model)

    assert backend_of(describe_model=lambda model: known if model == "m" else None).model_info("m") == known
    assert backend_of(describe_model=lambda model: {"context_window": 5}).model_info("m") is None
    assert backend_of(describe_model=fail).model_info("m") is None
    assert backend_of().model_info("m") is None
