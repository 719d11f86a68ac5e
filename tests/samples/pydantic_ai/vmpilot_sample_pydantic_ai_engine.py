"""One turn of pydantic-ai's agent, which decides when to call the model and when to run tools; the core does both."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from vmpilot.contract import (
    BackendEvent,
    GenerationRequest,
    InvalidRequest,
    Message,
    ModelCall,
    ModelCalls,
    Toolbox,
    ToolCall,
    ToolResult,
)
from vmpilot.providers import (
    NO_KEY,
    chat_messages,
    chat_options,
    chat_tool,
    find_target,
    open_client,
    read_completion,
    translated_errors,
)


async def run_turn(request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
    """Run the agent to its end. The contract's errors pass through it."""
    turn = Turn(request, toolbox, model_calls)
    await AGENT.run("Go.", model=SupervisedModel(turn), deps=turn, usage_limits=NO_LIMITS)


class Turn:
    """The real history, next to an agent that sees only placeholders: an id for each call, and no content.

    pydantic-ai would validate a call's arguments and answer invalid ones itself; here the toolbox does.
    """

    def __init__(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        self._history: list[Message] = [*request.messages]
        self._toolbox = toolbox
        self._model_calls = model_calls
        self._asked: dict[str, ToolCall] = {}
        self._answered: dict[str, ToolResult] = {}

    async def ask_model(self) -> tuple[str, ...]:
        """Make the next model call; return the ids of the placeholders for its tool calls."""
        self._history += [self._answered[placeholder] for placeholder in self._asked]
        message = await self._model_calls.ask(ask_server, tuple(self._history))
        self._asked = {f"{len(self._history)}.{number}": call for number, call in enumerate(message.tool_calls)}
        self._answered = {}
        self._history.append(message)
        return tuple(self._asked)

    async def run_tool(self, placeholder: str) -> str:
        """Have the toolbox run a call as the model wrote it."""
        self._answered[placeholder] = await self._toolbox.call(self._asked[placeholder])
        return "done"


async def ask_server(call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
    """One call to the model. It raises only the contract's errors and does not retry."""
    target = find_target(call)
    target.check_key()
    if target.base_url is None:
        raise InvalidRequest(f"{target} needs the URL of its server: set VMPILOT_BASE_URL")
    with translated_errors(target):
        async with (
            open_client(httpx2.AsyncClient, call.settings) as client,
            client.stream(
                "POST",
                f"{target.base_url.rstrip('/')}/chat/completions",
                json=write_body(call, target.name.name, target.name.provider),
                headers={"Authorization": f"Bearer {target.key.reveal() if target.key else NO_KEY}"},
            ) as response,
        ):
            if not response.is_success:
                await response.aread()
                response.raise_for_status()
            with translated_errors(target, answering=True):
                async with aclosing(read_completion(response.aiter_bytes(), target)) as events:
                    async for event in events:
                        yield event


def write_body(call: ModelCall, model: str, provider: str) -> dict[str, Any]:
    """The request in OpenAI's format."""
    messages = chat_messages(call.messages, system=call.system, provider=provider)
    body: dict[str, Any] = {"model": model, "messages": messages, **chat_options(call.settings)}
    if call.tools:
        body["tools"] = [chat_tool(tool) for tool in call.tools]
    return body


class SupervisedModel(Model):
    """A pydantic-ai model whose requests are a turn's model calls."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn

    @property
    def model_name(self) -> str:
        return "supervised"

    @property
    def system(self) -> str:
        return "vmpilot"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        del messages, model_settings, model_request_parameters
        placeholders = await self._turn.ask_model()
        calls = [ToolCallPart("call", {}, tool_call_id=placeholder) for placeholder in placeholders]
        return ModelResponse(parts=[*calls] or [TextPart("done")])


async def call(context: RunContext[Turn]) -> str:
    """The single placeholder for all tools."""
    return await context.deps.run_tool(context.tool_call_id or "")


AGENT = Agent(deps_type=Turn, tools=[call])
NO_LIMITS = UsageLimits(request_limit=None)
"""The core has its own limits."""
