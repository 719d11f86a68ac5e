"""Failures specific to LangChain; tests/system/test_provider_errors.py covers the shared ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from langchain_core.exceptions import ContextOverflowError

from vmpilot.contract import BackendEvent, ContextOverflow, GenerationRequest, InvalidRequest, UserMessage
from vmpilot.providers import ModelName, ModelTarget, translate_error
from vmpilot.testing import ScriptedServer

RequestMaker = Callable[..., GenerationRequest]
TurnRunner = Callable[..., Awaitable[list[BackendEvent]]]


async def test_lone_surrogate_cannot_be_sent(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([]) as server, pytest.raises(InvalidRequest, match="invalid characters"):
        await run_turn(make_request(server, messages=(UserMessage.from_text("half \ud83d"),)))


def test_langchain_error_for_a_full_context() -> None:
    error = translate_error(ContextOverflowError("too much"), ModelTarget(ModelName("anthropic", "m")))
    assert type(error) is ContextOverflow
