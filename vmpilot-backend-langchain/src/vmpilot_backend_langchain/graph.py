"""LangChain's agent on LangGraph, with the model and the tools behind middleware; it holds no state of any user."""

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
    """Sends every call to the model through the core's supervision, and every call of a tool to its toolbox.

    Neither asks the `handler`, which would go on to the agent's own model or tool. Both are plain functions that give
    a coroutine: around an `async def` LangSmith's wrapper goes to a thread of the default pool twice, traced or not.
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
    """The compiled agent, made once in a process (6 ms): a turn comes in as the run's context.

    The model that `create_agent` insists on is never asked.
    """
    return create_agent(FakeListChatModel(responses=[]), middleware=[SupervisedSteps()], context_schema=TurnContext)


async def run_turn(
    request: GenerationRequest,
    toolbox: Toolbox,
    model_calls: ModelCalls,
    *,
    graph: CompiledStateGraph[Any, TurnContext, Any, Any] | None = None,
) -> None:
    """Run the agent, or a `graph` in its place, for one turn."""
    stream = ModelStream()
    turn = Turn(request, toolbox, model_calls, stream_once=stream.stream_once)
    try:
        with tracing_context(enabled=False):
            await (graph or agent_graph()).ainvoke(
                {"messages": []}, {"recursion_limit": _BEYOND_ALL_LIMITS}, context=TurnContext(turn)
            )
    finally:
        await stream.close()
        if turn.failure is not None:  # as it was raised: LangGraph wraps some exceptions in its own
            raise _without_notes(turn.failure)


def _without_notes(error: BaseException) -> BaseException:
    """LangGraph notes its own names for what was running on each exception, which tell a person nothing."""
    notes = getattr(error, "__notes__", [])
    notes[:] = [note for note in notes if not note.startswith(_NOTE)]
    return error
