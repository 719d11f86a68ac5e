"""Runs the backend as the core would, against the scripted server and through the library's true client stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from vmpilot.contract import (
    BackendEvent,
    GenerationRequest,
    ModelSettings,
    Toolbox,
    ToolSpec,
    UserMessage,
)
from vmpilot.testing import ScriptedServer
from vmpilot.testing.stand_ins import PlainModelCalls, ScriptedToolbox
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


async def _run_turn(request: GenerationRequest, toolbox: Toolbox | None = None) -> list[BackendEvent]:
    events = generate_responses(request, toolbox or ScriptedToolbox(), PlainModelCalls(request))
    return [event async for event in events]


@pytest.fixture
def make_request() -> RequestMaker:
    """Makes a request to a scripted server; keywords replace its members."""
    return _make_request


@pytest.fixture
def run_turn() -> TurnRunner:
    """Runs one turn of the backend to its end and gives its events."""
    return _run_turn
