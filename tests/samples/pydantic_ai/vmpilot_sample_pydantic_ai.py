"""A backend whose agent loop is pydantic-ai's: the hooks. pydantic-ai itself is imported on first use."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from vmpilot.contract import BackendEvent, BackendInfo, GenerationRequest, ModelCalls, Toolbox, hookimpl
from vmpilot.providers import paused_gc

LEVELS = "core streaming tools parallel errors cancel usage resume"


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo("pydantic-ai", "1.0", capabilities=frozenset(LEVELS.split()))


@hookimpl
async def generate_responses(
    request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
) -> AsyncGenerator[BackendEvent, None]:
    """Run one turn of pydantic-ai's agent."""
    with paused_gc():
        from vmpilot_sample_pydantic_ai_engine import run_turn
    async with aclosing(run_turn(request, toolbox, model_calls)) as events:
        async for event in events:
            yield event
