"""Rows of the table: a fault through a backend, streaming or not; many at once in one event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults import Fault
from tests.faults.playing import KEY, Connect, Stage, play
from tests.faults.verifier import verify

from vmpilot import Agent
from vmpilot.config import Environment
from vmpilot.testing import Reply, ScriptedServer

BACKENDS = ("litellm", "langchain")
AT_ONCE = 16
"""Rows that run at the same time: they mostly wait."""


@dataclass(frozen=True, slots=True)
class Column:
    """One way to call a model."""

    backend: str
    streaming: bool

    def __str__(self) -> str:
        return f"{self.backend} {'streaming' if self.streaming else 'whole'}"


COLUMNS = tuple(Column(backend, streaming) for backend in BACKENDS for streaming in (True, False))


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one fault in one column. `wrong` is empty for a good client; `again` marks a second run."""

    fault: Fault
    column: Column
    wrong: tuple[str, ...]
    seconds: float
    again: bool = False


def agent_of(column: Column) -> Connect:
    """VMPilot as the client."""

    @asynccontextmanager
    async def connect(stage: Stage) -> AsyncGenerator[Agent, None]:
        home = stage.folder.parent / "home"
        variables = {"PATH": os.environ["PATH"], "HOME": str(home)}
        settings = {"model": "scripted", "api_key": KEY, "mode": "full", **stage.settings}
        async with Agent(
            folder=stage.folder,
            environment=Environment(variables, home / "config", home / "data", home / "cache", "tester"),
            backend=column.backend,
            streaming=column.streaming,
            base_url=stage.base_url,
            conversation=stage.conversation,
            **settings,
        ) as agent:
            yield agent

    return connect


async def run_rows(
    faults: Iterable[Fault], columns: Sequence[Column], *, report: Callable[[Row], None] = lambda _row: None
) -> list[Row]:
    """Run all rows, many at once.

    Rows that measure memory run last, one by one. Rows that failed while others ran are run again alone, because
    the client's behavior counts and not the load of the machine.
    """
    wanted = [(fault, column) for fault in faults for column in columns]
    free = asyncio.Semaphore(AT_ONCE)

    async def run_beside(fault: Fault, column: Column) -> Row:
        async with free:
            row = await run_row(fault, column)
        if not row.wrong:
            report(row)
        return row

    async def run_alone(fault: Fault, column: Column, *, again: bool) -> Row:
        row = replace(await run_row(fault, column), again=again)
        report(row)
        return row

    beside = await asyncio.gather(*(run_beside(*each) for each in wanted if not each[0].megabytes))
    rows = [row for row in beside if not row.wrong]
    rows += [await run_alone(row.fault, row.column, again=True) for row in beside if row.wrong]
    return rows + [await run_alone(*each, again=False) for each in wanted if each[0].megabytes]


async def run_row(fault: Fault, column: Column) -> Row:
    """Run one row in a new folder."""
    home = Path(tempfile.mkdtemp(prefix="vmpilot-fault-"))
    try:
        seen = await play(fault, agent_of(column), folder=home, streaming=column.streaming)
    finally:
        shutil.rmtree(home)
    return Row(fault, column, verify(seen), seen.seconds)


async def warm_up(columns: Sequence[Column]) -> None:
    """Let each library make its first call, which takes seconds, before the rows are timed."""
    for column in columns:
        with tempfile.TemporaryDirectory() as home, ScriptedServer([Reply("Ready.")]) as server:
            async with agent_of(column)(Stage(_work_in(home), server.base_url, {})) as agent:
                async for _ in agent.run("Are you ready?"):
                    pass


def _work_in(home: str) -> Path:
    folder = Path(home, "work")
    folder.mkdir()
    return folder


@contextmanager
def watched_logs() -> Iterator[list[str]]:
    """Collect the log records that contain the key."""
    leaks: list[str] = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if KEY in self.format(record):
                leaks.append(f"{record.name} logs the key")

    watch = Watch(logging.DEBUG)
    logging.getLogger().addHandler(watch)
    try:
        yield leaks
    finally:
        logging.getLogger().removeHandler(watch)
