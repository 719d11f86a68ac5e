"""Runs the backend as the core does, against the scripted server and through the library's real HTTP client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from vmpilot.contract import (
    BackendEvent,
    GenerationRequest,
    ModelSettings,
    ToolSpec,
    UserMessage,
)
from vmpilot.testing import ScriptedServer
from vmpilot.testing.fakes import PlainModelCalls, ScriptedToolbox, stream_turn
from vmpilot_backend_langchain.agent import generate_responses

SHELL = ToolSpec(
    "shell",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)

RequestMaker: TypeAlias = Callable[..., GenerationRequest]
TurnRunner: TypeAlias = Callable[..., Awaitable[list[BackendEvent]]]


def _make_request(server: ScriptedServer | None = None, **changes: Any) -> GenerationRequest:
    settings = changes.pop("settings", ModelSettings(base_url=server.base_url if server else None))
    defaults: dict[str, Any] = {
        "conversation_id": "conversation",
        "turn_id": "turn",
        "messages": (UserMessage.from_text("Which files are here?"),),
        "system": "Be brief.",
        "model": "scripted",
        "tools": (SHELL,),
    }
    return GenerationRequest(settings=settings, **{**defaults, **changes})


def stream(
    request: GenerationRequest,
    toolbox: ScriptedToolbox | None = None,
    model_calls: PlainModelCalls | None = None,
) -> AsyncGenerator[BackendEvent, None]:
    """The events of one turn of the backend as they arrive."""
    tools, calls = toolbox or ScriptedToolbox(), model_calls or PlainModelCalls(request)
    return stream_turn(lambda _take: generate_responses(request, tools, calls), tools, calls)


async def _run_turn(request: GenerationRequest, toolbox: ScriptedToolbox | None = None) -> list[BackendEvent]:
    return [event async for event in stream(request, toolbox)]


@pytest.fixture
def make_request() -> RequestMaker:
    """Creates a request to a scripted server; keywords override its members."""
    return _make_request


@pytest.fixture
def run_turn() -> TurnRunner:
    """Runs one turn of the backend to its end and returns its events."""
    return _run_turn
