"""A turn with its real parts, except the backend and the tools, which are functions."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import pluggy
import pytest

from vmpilot.contract import (
    PROJECT,
    Acts,
    AssistantMessage,
    Effect,
    Event,
    MessageCompleted,
    ModelInfo,
    ModelSettings,
    RetryPolicy,
    Tool,
    ToolCall,
    ToolOutcome,
    ToolSpec,
    ToolUse,
    UserMessage,
    hookimpl,
    hooks,
)
from vmpilot.engine import Approver, Conversation, Endpoint, FallbackChain, Turn, TurnPlan
from vmpilot.engine.journal import Journal
from vmpilot.engine.toolbox import TurnToolbox
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.workspace import Workspace
from vmpilot.permissions import PermissionPolicy, Rules
from vmpilot.plugins import Backend, InstalledBackend
from vmpilot.store import ConversationStore

Work: TypeAlias = Callable[[Mapping[str, Any], Callable[[str], None]], Awaitable[ToolOutcome]]


@dataclass
class FakeTool:
    """A tool named `name` that does `work` and counts its runs."""

    work: Work
    name: str = "work"
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    @property
    def spec(self) -> ToolSpec:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
        return ToolSpec(self.name, "Does some work.", schema)

    @property
    def folder(self) -> None:
        return None

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"{self.name} {arguments.get('n', '')}".strip()

    def effect(self, _arguments: Mapping[str, Any]) -> Effect:
        return self.effects.pop(0) if len(self.effects) > 1 else (self.effects or [Acts()])[0]

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        self.runs.append(arguments)
        return await self.work(arguments, use.on_output)


@pytest.fixture
def fake_tool() -> Callable[..., FakeTool]:
    """Makes a tool from a coroutine function."""
    return FakeTool


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ConversationStore]:
    store = ConversationStore(tmp_path / "data")
    yield store
    await store.close()


@pytest.fixture
async def conversation(store: ConversationStore, tmp_path: Path) -> AsyncIterator[Conversation]:
    conversation = await Conversation.open(await store.create(), Workspace(tmp_path))
    yield conversation
    await conversation.close()


@dataclass
class Bench:
    """A toolbox with its journal: `await bench.message(call, …)` records a message, `bench.events` has all events."""

    toolbox: TurnToolbox
    journal: Journal

    async def message(self, *calls: ToolCall, **members: Any) -> AssistantMessage:
        """Record a message with these calls, as the turn does."""
        message = AssistantMessage(tool_calls=calls, **{"finish": "tool_calls", **members})
        await self.journal.record(MessageCompleted(message))
        self.toolbox.message_recorded(message)
        return message

    async def events(self) -> list[Event]:
        """The events recorded and emitted so far."""
        self.journal.close()
        return [event async for event in self.journal.events()]


@pytest.fixture
def make_bench(conversation: Conversation) -> Callable[..., Bench]:
    """Makes a toolbox with these tools."""

    def make(
        *tools: Tool,
        mode: Any = "full",
        approver: Approver | None = None,
        secrets: tuple[str, ...] = (),
        rules: Rules = Rules(),  # noqa: B008  it is frozen
        **more: Any,
    ) -> Bench:
        journal = Journal(conversation.log)
        toolbox = TurnToolbox(
            tools,
            policy=PermissionPolicy(mode, workspace=Path("/"), rules=rules, confines=lambda: True),
            approver=approver,
            journal=journal,
            masker=Masker(secrets),
            **more,
        )
        return Bench(toolbox, journal)

    return make


@dataclass
class TurnRunner:
    """Runs turns of a backend that consists of one function."""

    conversation: Conversation

    def turn(
        self,
        generate: Callable[..., Any],
        *tools: Tool,
        text: str = "Do it.",
        known: Mapping[str, ModelInfo] = MappingProxyType({}),
        **plan: Any,
    ) -> Turn:
        """A turn that has not started; `known` is the backend's information about models."""
        defaults: dict[str, Any] = {
            "conversation": self.conversation,
            "backend": _make_backend(generate, known),
            "chain": FallbackChain(Endpoint("m", ModelSettings())),
            "system": "Be brief.",
            "tools": tools,
            "policy": PermissionPolicy("full", workspace=Path("/"), confines=lambda: True),
            "approver": None,
            "masker": Masker(()),
            "max_steps": 5,
            "retry": RetryPolicy(attempts=1),
        }
        return Turn(TurnPlan(**{**defaults, **plan}), UserMessage.from_text(text))

    async def run_turn(self, generate: Callable[..., Any], *tools: Tool, **plan: Any) -> list[Event]:
        """All events of a turn."""
        async with asyncio.timeout(20), aclosing(self.turn(generate, *tools, **plan).events()) as events:
            return [event async for event in events]


def _make_backend(generate: Callable[..., Any], known: Mapping[str, ModelInfo]) -> Backend:
    def describe_model(model: str) -> ModelInfo | None:
        return known.get(model)

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(
        types.SimpleNamespace(generate_responses=hookimpl(generate), describe_model=hookimpl(describe_model)), "fake"
    )
    entry_point = EntryPoint("fake", "fake", "vmpilot.backends")
    return Backend(InstalledBackend("fake", "fake-backend", "1.0", entry_point), manager.hook)


@pytest.fixture
def runner(conversation: Conversation) -> TurnRunner:
    return TurnRunner(conversation)
