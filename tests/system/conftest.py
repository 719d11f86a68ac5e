"""Complete turns through `vmpilot.Agent`, the same for each backend: real HTTP, a real log, real commands."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.conftest import BACKENDS, chosen_backends

from vmpilot import Agent
from vmpilot.config import Environment
from vmpilot.contract import (
    AssistantMessage,
    Event,
    MessageCompleted,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    decode_event,
    encode_event,
)
from vmpilot.testing import Reply, ScriptedServer

KEY = "sk-system-0123456789abcdef"

EventType = TypeVar("EventType")


def pytest_configure(config: pytest.Config) -> None:
    # LiteLLM's modules warn about its own dependencies while they are imported.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:litellm")
    config.addinivalue_line("filterwarnings", "ignore::pydantic.warnings.PydanticDeprecatedSince20")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on the chosen backends, unless it names specific ones."""
    own = any(mark.args[0] == "backend" for mark in metafunc.definition.iter_markers("parametrize"))
    if "backend" in metafunc.fixturenames and not own:
        metafunc.parametrize("backend", chosen_backends(metafunc.config))


@dataclass
class Seen:
    """The events of one turn, as received by a front end."""

    events: list[Event]

    @property
    def text(self) -> str:
        """The streamed text, without retracted parts."""
        return _joined(self.events, TextDelta)

    @property
    def reasoning(self) -> str:
        return _joined(self.events, ReasoningDelta)

    @property
    def started(self) -> TurnStarted:
        return self.of(TurnStarted)[0]

    @property
    def end(self) -> TurnEnded:
        return self.of(TurnEnded)[0]

    @property
    def error(self) -> str:
        assert self.end.error is not None
        return self.end.error

    @property
    def messages(self) -> list[AssistantMessage]:
        return [event.message for event in self.of(MessageCompleted)]

    @property
    def results(self) -> list[ToolResult]:
        return [event.result for event in self.of(ToolFinished)]

    def of(self, kind: type[EventType]) -> list[EventType]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def check(self) -> None:
        """The grammar of a turn: one start, one end, each started tool finished, messages equal their deltas."""
        assert [type(self.events[0]), type(self.events[-1])] == [TurnStarted, TurnEnded]
        assert len(self.of(TurnStarted)) == len(self.of(TurnEnded)) == 1
        started = [event.call.id for event in self.of(ToolStarted)]
        finished = [event.result.call_id for event in self.of(ToolFinished)]
        assert len(set(finished)) == len(finished)
        assert set(started) <= set(finished)
        assert "".join(message.text for message in self.messages) == self.text


def _joined(events: list[Event], kind: type[TextDelta | ReasoningDelta]) -> str:
    kept: list[str] = []
    pieces: list[str] = []
    for event in events:
        match event:
            case MessageCompleted():
                kept += pieces
                pieces = []
            case Retrying(discard=True):
                pieces = []
            case TextDelta() | ReasoningDelta() if isinstance(event, kind):
                pieces.append(event.text)
            case _:
                pass
    return "".join(kept + pieces)


@dataclass
class Machine:
    """A user's machine: folders, variables, and agents on it."""

    home: Path
    backend: str
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    variables: dict[str, str] = field(default_factory=dict)
    seen: list[Event] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The working folder of the agents."""
        return self.home / "work"

    @property
    def database(self) -> Path:
        return self.home / "data" / "conversations.db"

    @property
    def environment(self) -> Environment:
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TEST_MARK": self.mark, **self.variables}
        return Environment(variables, self.home / "config", self.home / "data", self.home / "cache", "tester")

    def agent(self, server: ScriptedServer | str, **settings: Any) -> Agent:
        """An agent in mode full that uses `server`; `settings` override the defaults."""
        given = {
            "backend": self.backend,
            "base_url": server if isinstance(server, str) else server.base_url,
            "model": "scripted",
            "api_key": KEY,
            "mode": "full",
            **settings,
        }
        return Agent(folder=self.folder, environment=self.environment, **given)

    async def play(self, agent: Agent, request: Any = "Do it.", **options: Any) -> Seen:
        """Run one turn to its end and check its grammar."""
        async with aclosing(agent.run(request, **options)) as events:
            seen = Seen([event async for event in events])
        self.seen += seen.events
        seen.check()
        return seen

    async def compact(self, agent: Agent) -> Seen:
        """Compact the agent's conversation manually."""
        async with aclosing(agent.compact()) as events:
            seen = Seen([event async for event in events])
        self.seen += seen.events
        seen.check()
        return seen

    async def ask(self, server: ScriptedServer | str, request: Any = "Do it.", **settings: Any) -> Seen:
        """Run one turn of a new agent."""
        async with self.agent(server, **settings) as agent:
            return await self.play(agent, request)

    def stored(self, conversation: str | None = None) -> list[Event]:
        """The events in the log, read without VMPilot."""
        query = "SELECT body FROM entries WHERE ?1 IS NULL OR conversation_id = ?1 ORDER BY conversation_id, number"
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return [decode_event(body) for (body,) in connection.execute(query, (conversation,))]
        finally:
            connection.close()

    def survivors(self) -> list[str]:
        """Processes that commands left running."""
        return [line for process in Path("/proc").glob("[0-9]*") if (line := _describe(process, self.mark))]


@pytest.fixture(scope="session", autouse=True)
def _libraries(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make each library's first call here, because it takes seconds that would count towards a test's time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for backend in BACKENDS:
            machine = Machine(tmp_path_factory.mktemp(backend), backend)
            machine.folder.mkdir()
            with ScriptedServer([Reply("Ready.")]) as server, machine.agent(server) as agent:
                assert agent.ask("Are you ready?").text == "Ready."


def _describe(process: Path, mark: str) -> str:
    try:
        ours = f"TEST_MARK={mark}".encode() in (process / "environ").read_bytes().split(b"\0")
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode() if ours else ""
    except OSError:
        return ""


@pytest.fixture(autouse=True)
def _retries_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait a twentieth of the real time; `tests/core/engine/calls/test_backoff.py` tests the real waits."""
    monkeypatch.setattr("vmpilot.engine.calls._backoff._FIRST", 0.025)


@pytest.fixture
def machine(backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Machine]:
    """A machine; afterwards no command is left running, and the key occurs only on the wire."""
    machine = Machine(tmp_path, backend)
    machine.folder.mkdir()
    yield machine
    assert machine.survivors() == []
    assert not any(KEY in encode_event(event) for event in machine.seen)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err
    assert printed.err == ""


async def next_of(events: AsyncGenerator[Event, None], kind: type[EventType]) -> EventType:
    """Skip to the next event of a kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the turn ended without {kind.__name__}")


@pytest.fixture
def wait_for() -> Callable[[AsyncGenerator[Event, None], type[Any]], Any]:
    """Skips to the next event of a kind: `await wait_for(events, ToolStarted)`."""
    return lambda events, kind: asyncio.wait_for(next_of(events, kind), 10)
