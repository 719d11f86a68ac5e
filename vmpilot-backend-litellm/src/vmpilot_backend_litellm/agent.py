"""The backend that `litellm` names: its hooks, and the loop of one turn. Importing it does not import LiteLLM."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from vmpilot.contract import (
    BackendInfo,
    GenerationRequest,
    Message,
    ModelCalls,
    ModelInfo,
    Toolbox,
    ToolCall,
    hookimpl,
)
from vmpilot.providers import read_tool_call

__all__ = ["agent_loop", "describe_backend", "describe_model", "generate_responses", "parse_tool_calls"]

_LEVELS = frozenset({"core", "streaming", "tools", "parallel", "errors", "cancel", "usage", "resume"})


@hookimpl
async def generate_responses(request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
    """Run one turn; see the hook's specification."""
    await agent_loop(request, toolbox, model_calls)


@hookimpl
def describe_backend() -> BackendInfo:
    """Name, version and conformance levels."""
    return BackendInfo("litellm", version("vmpilot-backend-litellm"), capabilities=_LEVELS)


@hookimpl
def describe_model(model: str) -> ModelInfo | None:
    """What LiteLLM's built-in list knows of the model; None if it does not list it."""
    from vmpilot_backend_litellm.model_info import look_up_model

    return look_up_model(model)


async def agent_loop(request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
    """Ask the model and run its tool calls, until it answers without one.

    Calls of a message that did not end properly go to the toolbox, too: it refuses them and informs the model.
    """
    from vmpilot_backend_litellm.stream import ModelClient

    messages: list[Message] = list(request.messages)
    async with await ModelClient.open() as client:
        while (answer := await model_calls.ask(client.stream_once, messages)).tool_calls:
            messages += [answer, *await toolbox.call_all(answer.tool_calls)]


def parse_tool_calls(response: Any) -> tuple[ToolCall, ...]:
    """The tool calls of a whole response: a LiteLLM `ModelResponse`, its message, or either as a dictionary.

    Arguments stay the raw strings, which may be broken. Raises `TypeError` or `KeyError` for anything else.
    """
    dictionary = response if isinstance(response, Mapping) else response.model_dump()
    if "choices" in dictionary:
        dictionary = dictionary["choices"][0]["message"]
    old = dictionary.get("function_call")
    calls = dictionary.get("tool_calls") or ([{"id": "", "function": old}] if old else [])
    return tuple(read_tool_call(call) for call in calls)
