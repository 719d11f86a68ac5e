"""The database work of an append or a turn does not grow with the log. Work is counted, not timed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from tests.core.store.conftest import Place

from vmpilot import Agent
from vmpilot.config import Environment
from vmpilot.contract import (
    AssistantMessage,
    Event,
    MessageCompleted,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from vmpilot.store import ConversationStore
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

SHORT, LONG = 10, 3_000
INSTRUCTIONS = 10
"""SQLite reports its work each time it has executed this many instructions."""


@dataclass
class Work:
    """Statements with their row counts; for SQLite also the number of instructions."""

    statements: list[tuple[str, int]] = field(default_factory=list)
    instructions: int = 0


@contextmanager
def watched() -> Iterator[Work]:
    """All database work in this process."""
    work = Work()

    def note(*told: Any) -> None:
        connection, _, statement, parameters, _, many = told
        work.statements.append((statement, len(parameters) if many else 1))
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(tick, INSTRUCTIONS)

    def tick() -> int:
        work.instructions += INSTRUCTIONS
        return 0

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield work
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def turns(entries: int) -> Sequence[Event]:
    """This many entries, in turns of one command each."""
    made: list[Event] = []
    for number in count():
        call = ToolCall(f"call_{number}", "shell", '{"command": "ls"}')
        made += [
            TurnStarted("c", f"t{number}", UserMessage.from_text(f"Question {number}"), "bare", "m", time=1.0),
            MessageCompleted(AssistantMessage("I look.", tool_calls=(call,), finish="tool_calls")),
            ToolStarted(call, "$ ls", "full", time=1.0, folder="/"),
            ToolFinished(ToolResult(call.id, "shell", f"file{number}\n[exit code 0]"), 0.1, exit_code=0, folder="/"),
            MessageCompleted(AssistantMessage(f"Answer {number}")),
            TurnEnded("answered", time=1.0),
        ]
        if len(made) >= entries:
            return made[:entries]
    raise AssertionError


async def filled(store: ConversationStore, entries: int) -> str:
    log = await store.create()
    await log.append(*turns(entries))
    await log.close()
    return log.conversation_id


async def test_appending_to_a_long_conversation_takes_no_more_work(store: ConversationStore) -> None:
    done: list[Work] = []
    for entries in (SHORT, LONG):
        log = await store.open(await filled(store, entries))
        with watched() as work:
            for one in turns(6):
                await log.append(one)
        await log.close()
        done.append(work)
    short, long = done
    assert short.statements
    assert long.statements == short.statements
    assert long.instructions <= short.instructions + 5 * INSTRUCTIONS


async def test_opening_a_long_conversation_takes_no_more_statements(store: ConversationStore) -> None:
    done: list[Work] = []
    for entries in (SHORT, LONG):
        id_ = await filled(store, entries)
        with watched() as work:
            log = await store.open(id_)
            assert len(await log.read()) == entries
            await log.close()
        done.append(work)
    assert [statement for statement, _ in done[0].statements] == [statement for statement, _ in done[1].statements]


async def test_a_turn_of_a_long_conversation_takes_no_more_work(
    place: Place, store: ConversationStore, tmp_path: Path, installed_samples: Callable[..., None]
) -> None:
    installed_samples("bare")
    url = {} if place.url is None else {"VMPILOT_DATABASE_URL": place.url}
    environment = Environment({"PATH": "/usr/bin:/bin", **url}, tmp_path, place.folder, tmp_path, "ada")
    script = [Reply(tool_calls=(ScriptedCall("shell", {"command": "true"}),)), Reply("Done.")]
    done: list[Work] = []
    for entries in (SHORT // 6 * 6, LONG // 6 * 6):
        conversation = await filled(store, entries)
        with ScriptedServer(script * 2) as server:
            options: dict[str, Any] = {"backend": "bare", "base_url": server.base_url, "model": "m", "mode": "full"}
            async with Agent(
                folder=tmp_path, environment=environment, conversation=conversation, api_key="k", **options
            ) as agent:
                await agent.answer("One?")  # the first turn reads the log
                with watched() as work:
                    await agent.answer("Two?")
            assert len(server.requests[2].messages) == entries // 6 * 4 + 6
        done.append(work)
    # SQLite's instructions are not compared: now and then it merges segments of the search index.
    assert done[0].statements
    assert done[1].statements == done[0].statements
