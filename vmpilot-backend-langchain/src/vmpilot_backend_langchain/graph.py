"""LangChain's agent on LangGraph, with the model and the tools behind middleware. It holds no user's state."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import ToolMessage
from langgraph.types import Command
from langsmith import tracing_context

from vmpilot.contract import GenerationRequest, ModelCalls, Toolbox
from vmpilot_backend_langchain.stream import ModelStream
from vmpilot_backend_langchain.turn import Turn, TurnContext

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

_BEYOND_ALL_LIMITS = 2**31
_NOTE = "During task with name"


class SupervisedSteps(AgentMiddleware[AgentState[Any], TurnContext]):
    """Sends every model call through the core's supervision, and every tool call to its toolbox.

    Neither calls the `handler`, which would use the agent's own model or tool. Both are plain functions that return a
    coroutine: around an `async def`, LangSmith's wrapper uses a thread of the default pool twice, traced or not.
    """

    def awrap_model_call(
        self,
        request: ModelRequest[TurnContext],
        handler: Callable[[ModelRequest[TurnContext]], Awaitable[ModelResponse[Any]]],
    ) -> Coroutine[Any, Any, ModelResponse[Any]]:
        del handler
        return _ask_model(request.runtime.context.turn)

    def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> Coroutine[Any, Any, ToolMessage | Command[Any]]:
        del handler
        context = cast("TurnContext", request.runtime.context)
        return context.turn.run_tool(str(request.tool_call["id"]))


async def _ask_model(turn: Turn) -> ModelResponse[Any]:
    return ModelResponse(result=[await turn.ask_model()])


@functools.cache
def agent_graph() -> CompiledStateGraph[Any, TurnContext, Any, Any]:
    """The compiled agent, created once per process (6 ms); each run gets its turn as the context.

    The model that `create_agent` requires is never called.
    """
    return create_agent(FakeListChatModel(responses=[]), middleware=[SupervisedSteps()], context_schema=TurnContext)


async def run_turn(
    request: GenerationRequest,
    toolbox: Toolbox,
    model_calls: ModelCalls,
    *,
    graph: CompiledStateGraph[Any, TurnContext, Any, Any] | None = None,
) -> None:
    """Run the agent, or another `graph`, for one turn."""
    stream = ModelStream()
    turn = Turn(request, toolbox, model_calls, stream_once=stream.stream_once)
    try:
        with tracing_context(enabled=False):
            await (graph or agent_graph()).ainvoke(
                {"messages": []}, {"recursion_limit": _BEYOND_ALL_LIMITS}, context=TurnContext(turn)
            )
    finally:
        await stream.close()
        if turn.failure is not None:  # the original: LangGraph wraps some exceptions
            raise _without_notes(turn.failure)


def _without_notes(error: BaseException) -> BaseException:
    """Remove the notes with internal names that LangGraph adds to each exception."""
    notes = getattr(error, "__notes__", [])
    notes[:] = [note for note in notes if not note.startswith(_NOTE)]
    return error
