"""Manual compaction with backends of every kind; the real ones are tested in tests/system."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    Event,
    GenerationRequest,
    HistoryCompacted,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    Notice,
    TextDelta,
    Toolbox,
    ToolCall,
    TurnEnded,
    TurnStarted,
    Usage,
)
from vmpilot.engine import CompactionTurn

if TYPE_CHECKING:
    from tests.core.engine.conftest import TurnRunner

Items = AsyncGenerator[Any, None]
LONG = "x" * 4_000


def echo(request: GenerationRequest) -> Iterator[str]:
    """Does not use model calls."""
    yield "Echo: "
    yield request.messages[-1].text[-20:] + LONG[:100]


async def supervised(model_calls: ModelCalls, request: GenerationRequest) -> None:
    async def stream_once(_call: ModelCall) -> Items:
        yield TextDelta("Short.")
        yield MessageCompleted(AssistantMessage("Short."), Usage(10, 2))

    await model_calls.ask(stream_once, request.messages)


async def calls_for_ever(toolbox: Toolbox) -> Items:
    """Calls tools although none are available."""
    while True:
        call = ToolCall("a", "work", "{}")
        yield MessageCompleted(AssistantMessage(tool_calls=(call,), finish="tool_calls"), Usage(10, 2))
        await toolbox.call(call)


async def refuses() -> Items:
    yield MessageCompleted(AssistantMessage("No.", finish="refusal"), Usage(10, 2))


async def says_nothing() -> Items:
    nothing: tuple[MessageCompleted, ...] = ()
    for event in nothing:
        yield event


async def compact(runner: TurnRunner, generate: Callable[..., Any]) -> list[Event]:
    turn = CompactionTurn(runner.turn(generate)._plan)
    async with aclosing(turn.events()) as events:
        return [event async for event in events]


async def talk(runner: TurnRunner) -> None:
    def answer(request: GenerationRequest) -> Iterator[str]:
        yield f"You said {request.messages[-1].text} {LONG}"

    for text in ("1?", "2?"):
        await runner.run_turn(answer, text=text)


@pytest.mark.parametrize(("generate", "usage"), [(echo, Usage()), (supervised, Usage(10, 2))])
async def test_every_backend_can_summarize(runner: TurnRunner, generate: Callable[..., Any], usage: Usage) -> None:
    await talk(runner)
    events = await compact(runner, generate)
    started, compacted, ended = events
    assert isinstance(started, TurnStarted)
    assert isinstance(compacted, HistoryCompacted)
    assert isinstance(ended, TurnEnded)
    assert (ended.reason, ended.usage) == ("answered", usage)
    assert tuple(events) == (await runner.conversation.log.read())[-3:]
    history = runner.conversation.history()
    assert [message.text[:4] for message in history] == ["(The", compacted.summary[:4], "2?", "You "]


@pytest.mark.parametrize(
    ("generate", "told", "asked"),
    [
        (calls_for_ever, "returned no summary", True),
        (refuses, "refused to summarize", True),
        (says_nothing, "backend fake gave no answer", False),
    ],
)
async def test_a_backend_without_a_summary_is_an_error(
    runner: TurnRunner, generate: Callable[..., Any], told: str, *, asked: bool
) -> None:
    """Its cost is recorded; the conversation is unchanged."""
    await talk(runner)
    before = await runner.conversation.log.read()
    *_, ended = await compact(runner, generate)
    assert isinstance(ended, TurnEnded)
    assert (ended.reason, ended.exit_code) == ("failed", 1)
    assert told in (ended.error or "")
    recorded = (await runner.conversation.log.read())[len(before) :]
    assert [type(event) for event in recorded] == ([TurnStarted, TurnEnded] if asked else [])
    assert len(runner.conversation.history()) == 4


async def test_without_any_gain_no_model_is_asked_and_nothing_recorded(runner: TurnRunner) -> None:
    await runner.run_turn(echo, text="1?")
    before = await runner.conversation.log.read()
    events = await compact(runner, says_nothing)
    assert [type(event) for event in events] == [TurnStarted, Notice, TurnEnded]
    assert "Nothing to compact" in str(events[1])
    assert await runner.conversation.log.read() == before
