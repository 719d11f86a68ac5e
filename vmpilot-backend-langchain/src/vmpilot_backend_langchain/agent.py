"""VMPilot's backend on LangChain and LangGraph: the hooks. LangChain itself is imported on first use."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version

from vmpilot.contract import BackendEvent, BackendInfo, GenerationRequest, ModelCalls, ModelInfo, Toolbox, hookimpl
from vmpilot.providers import paused_gc

_CAPABILITIES = frozenset({"core", "streaming", "tools", "parallel", "errors", "cancel", "usage", "resume"})


@hookimpl
async def generate_responses(
    request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
) -> AsyncGenerator[BackendEvent, None]:
    """Run one turn of LangChain's agent."""
    with paused_gc():
        from vmpilot_backend_langchain.graph import run_turn
    async with aclosing(run_turn(request, toolbox, model_calls)) as events:
        async for event in events:
            yield event


@hookimpl
def describe_backend() -> BackendInfo:
    """Name and version of this backend."""
    return BackendInfo("langchain", version("vmpilot-backend-langchain"), capabilities=_CAPABILITIES)


@hookimpl
def describe_model(model: str) -> ModelInfo | None:
    """What LangChain's own tables say of the model, without the network."""
    with paused_gc():
        from vmpilot_backend_langchain.models import read_model_info
    return read_model_info(model)
