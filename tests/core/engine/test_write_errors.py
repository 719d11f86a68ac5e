"""A log that cannot be written for a while: nothing runs unlogged, and logging resumes afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    Event,
    GenerationRequest,
    MessageCompleted,
    ToolCall,
    ToolFinished,
    ToolOutcome,
    ToolStarted,
    TurnEnded,
    TurnStarted,
)
from vmpilot.engine import Conversation

from .conftest import FakeTool, TurnRunner


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[str | None], None]:
    """Make the database reject entries of this type from now on; None accepts all again."""

    def change(kind: str | None) -> None:
        with closing(sqlite3.connect(tmp_path / "data" / "conversations.db")) as connection:
            connection.execute("DROP TRIGGER IF EXISTS refuse")
            if kind is not None:
                connection.execute(
                    f"CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN NEW.body LIKE '%\"{kind}\"%'"
                    " BEGIN SELECT RAISE(ABORT, 'no room'); END"
                )
            connection.commit()

    return change


def calls(*ids: str) -> MessageCompleted:
    return MessageCompleted(
        AssistantMessage(tool_calls=tuple(ToolCall(one, "work", "{}") for one in ids), finish="tool_calls")
    )


async def answer(request: GenerationRequest) -> AsyncIterator[BackendEvent]:
    yield MessageCompleted(AssistantMessage("Done."))


@pytest.mark.parametrize(("kind", "runs"), [("tool_started", 0), ("tool_finished", 1)])
async def test_no_tool_starts_after_a_write_error(
    conversation: Conversation, refuse: Callable[[str | None], None], kind: str, runs: int
) -> None:
    runner = TurnRunner(conversation)
    await runner.run_turn(answer)

    async def work(arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        return ToolOutcome("worked")

    async def two_calls(request: GenerationRequest, toolbox: Any) -> AsyncIterator[BackendEvent]:
        yield (message := calls("a", "b"))
        refuse(kind)
        try:
            await toolbox.call_all(message.message.tool_calls)
        finally:
            refuse(None)  # the disk recovers before the next attempt
        yield MessageCompleted(AssistantMessage("Done."))

    tool = FakeTool(work)
    *_, end = await runner.run_turn(two_calls, tool)
    assert isinstance(end, TurnEnded)
    assert (end.reason, end.exit_code) == ("failed", 1)
    assert "no room" in str(end.error)
    assert len(tool.runs) == runs


async def test_the_next_turn_reads_the_actual_log(
    conversation: Conversation, refuse: Callable[[str | None], None]
) -> None:
    runner = TurnRunner(conversation)
    await runner.run_turn(answer)

    async def work(arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        refuse("tool_finished")
        return ToolOutcome("worked")

    async def one_call(request: GenerationRequest, toolbox: Any) -> AsyncIterator[BackendEvent]:
        yield (message := calls("a"))
        await toolbox.call_all(message.message.tool_calls)
        yield MessageCompleted(AssistantMessage("Done."))

    await runner.run_turn(one_call, FakeTool(work))
    refuse(None)
    seen: list[GenerationRequest] = []

    async def listen(request: GenerationRequest) -> AsyncIterator[BackendEvent]:
        seen.append(request)
        yield MessageCompleted(AssistantMessage("Done again."))

    *_, end = await runner.run_turn(listen)
    assert isinstance(end, TurnEnded)
    assert end.reason == "answered"
    events: tuple[Event, ...] = await conversation.log.read()
    kinds = [type(event) for event in events if not isinstance(event, MessageCompleted)]
    mended = [TurnStarted, ToolStarted, ToolFinished]
    assert kinds == [TurnStarted, TurnEnded, *mended, TurnStarted, TurnEnded]
    result = next(event.result for event in events if isinstance(event, ToolFinished))
    assert "may have had partial effects" in result.text
    assert result in seen[0].messages
