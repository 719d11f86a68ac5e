"""A backend whose agent loop is pydantic-ai's: the hooks. pydantic-ai itself is imported on first use."""

from __future__ import annotations

from vmpilot.contract import BackendInfo, GenerationRequest, ModelCalls, Toolbox, hookimpl
from vmpilot.providers import paused_gc

LEVELS = "core streaming tools parallel errors cancel usage resume"


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo("pydantic-ai", "1.0", capabilities=frozenset(LEVELS.split()))


@hookimpl
async def generate_responses(request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
    """Run one turn of pydantic-ai's agent."""
    with paused_gc():
        from vmpilot_sample_pydantic_ai_engine import run_turn
    await run_turn(request, toolbox, model_calls)
