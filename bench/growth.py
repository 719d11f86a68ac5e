"""Checks costs that must not grow with a conversation: an append, and opening it excluding the database's cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count, islice
from pathlib import Path
from statistics import median

from bench.aims import AtMost
from bench.databases import Database, open_databases
from bench.measures import Figures, Row

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
    Usage,
    UserMessage,
)
from vmpilot.engine import Conversation
from vmpilot.machine.workspace import Workspace
from vmpilot.store import ConversationLog

LENGTHS = (10, 1_000, 10_000)
_APPENDS = 30
_OPENINGS = 5

GROWTH_ROWS = (
    *(Row(f"wall_{length}", f"append at entry {length:,}, wall", "ms") for length in LENGTHS),
    *(Row(f"cpu_{length}", f"append at entry {length:,}, CPU", "ms") for length in LENGTHS),
    Row("ratio", "append at entry 10,000, relative to entry 10, wall", "times", AtMost(1.5)),
    Row("opening", "opening 10,000 entries, wall", "ms"),
    Row("fetching", "connecting and fetching them with only the driver, wall", "ms"),
    Row("beyond", "opening beyond that", "ms", AtMost(100.0)),
)


def measure_growth(folder: Path, *, runs: int, look: Callable[[], None]) -> Mapping[str, Sequence[Figures]]:
    """The figures of all runs, by database; `look` is called before each."""
    samples: dict[str, list[Figures]] = defaultdict(list)
    with open_databases(folder) as databases:
        for _ in range(runs):
            for database in databases:
                look()
                samples[database.name].append(asyncio.run(_take(database)))
    return samples


async def _take(database: Database) -> Figures:
    figures: dict[str, float] = {}
    async with _filled(database) as logs:
        for length, (walls, cpus) in (await _time_appends(logs)).items():
            figures |= {f"wall_{length}": median(walls), f"cpu_{length}": median(cpus)}
        longest = logs[-1].conversation_id
    opening = median([await _time_opening(database, longest) for _ in range(_OPENINGS)])
    fetching = median(_time_fetching(database, longest) for _ in range(_OPENINGS))
    ratio = figures[f"wall_{LENGTHS[-1]}"] / figures[f"wall_{LENGTHS[0]}"]
    return {**figures, "ratio": ratio, "opening": opening, "fetching": fetching, "beyond": opening - fetching}


@asynccontextmanager
async def _filled(database: Database) -> AsyncIterator[list[ConversationLog]]:
    """A new conversation of each length."""
    store = database.store()
    try:
        logs = [await store.create() for _ in LENGTHS]
        for log, length in zip(logs, LENGTHS, strict=True):
            await log.append(*islice(_events(), length))
        yield logs
        for log in logs:
            await log.close()
    finally:
        await store.close()


async def _time_appends(logs: Sequence[ConversationLog]) -> Mapping[int, tuple[list[float], list[float]]]:
    """Milliseconds, wall and CPU, by length; the conversations alternate, so that a slow period affects all of them."""
    times: dict[int, tuple[list[float], list[float]]] = {length: ([], []) for length in LENGTHS}
    for event in islice(_events(), _APPENDS):
        for log, (walls, cpus) in zip(logs, times.values(), strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            await log.append(event)
            walls.append((time.perf_counter() - wall) * 1e3)
            cpus.append((time.process_time() - cpu) * 1e3)
    return times


async def _time_opening(database: Database, conversation_id: str) -> float:
    """Milliseconds until the first request's messages could be sent, in a new store."""
    started = time.perf_counter()
    store = database.store()
    try:
        log = await store.open(conversation_id)
        conversation = await Conversation.open(log, Workspace.at(database.folder))
        conversation.history(UserMessage.from_text("Go on."))
        taken = time.perf_counter() - started
        await conversation.close()
    finally:
        await store.close()
    return taken * 1e3


def _time_fetching(database: Database, conversation_id: str) -> float:
    started = time.perf_counter()
    rows = database.fetch(conversation_id)
    taken = time.perf_counter() - started
    assert rows == LENGTHS[-1] + _APPENDS
    return taken * 1e3


def _events() -> Iterator[Event]:
    """Turn after turn, with a command in each."""
    for number in count():
        yield from _turn(number)


def _turn(number: int) -> Iterator[Event]:
    call = ToolCall(f"call_{number}", "shell", json.dumps({"command": f"ls -l /var/log/part{number} | sort"}))
    asked = UserMessage.from_text(f"What is in part {number} of the log, and is it as it was before? " * 3)
    yield TurnStarted("bench", f"turn{number}", asked, "litellm", "gpt-4o", time.time())
    message = AssistantMessage("I look at the next part. " * 4, tool_calls=(call,), finish="tool_calls")
    yield MessageCompleted(message, Usage(1_000, 50))
    yield ToolStarted(call, f"$ ls -l part{number}", "Read-only", time.time(), "/home/ada")
    output = "-rw-r----- 1 root adm 12345 a line that is typical\n" * 20
    yield ToolFinished(ToolResult(call.id, "shell", f"{output}[exit code 0]"), 0.1, exit_code=0, folder="/home/ada")
    yield MessageCompleted(AssistantMessage("The next part has this and that in it. " * 8), Usage(1_200, 80))
    yield TurnEnded("answered", time.time(), Usage(2_200, 130), 0.01)
