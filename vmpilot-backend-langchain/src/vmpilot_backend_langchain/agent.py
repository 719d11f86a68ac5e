"""VMPilot's backend on LangChain and LangGraph: the hooks. LangChain itself is imported on first use."""

from __future__ import annotations

from importlib.metadata import version

from vmpilot.contract import BackendInfo, GenerationRequest, ModelCalls, ModelInfo, Toolbox, hookimpl
from vmpilot.providers import paused_gc

_CAPABILITIES = frozenset({"core", "streaming", "tools", "parallel", "errors", "cancel", "usage", "resume"})


@hookimpl
async def generate_responses(request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
    """Run one turn of LangChain's agent."""
    with paused_gc():
        from vmpilot_backend_langchain.graph import run_turn
    await run_turn(request, toolbox, model_calls)


@hookimpl
def describe_backend() -> BackendInfo:
    """Name and version of this backend."""
    return BackendInfo("langchain", version("vmpilot-backend-langchain"), capabilities=_CAPABILITIES)


@hookimpl
def describe_model(model: str) -> ModelInfo | None:
    """LangChain's own facts about the model, without the network."""
    with paused_gc():
        from vmpilot_backend_langchain.models import read_model_info
    return read_model_info(model)
