"""A backend that fulfills the contract, in parts that a broken one can override; it needs only httpx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import httpx

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    Message,
    ModelCall,
    ModelCalls,
    Toolbox,
    ToolResult,
    hookimpl,
)
from vmpilot.providers import chat_messages, chat_options, chat_tool, find_target, read_completion, translated_errors
from vmpilot.testing.conformance import LEVELS


class Reference:
    """One turn is `loop`, one call to the model `ask`, its body `write_body`, one step of tools `run_tools`."""

    @hookimpl
    def describe_backend(self) -> BackendInfo:
        return BackendInfo("reference", "1.0", capabilities=frozenset(LEVELS))

    @hookimpl
    async def generate_responses(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        await self.loop(request, toolbox, model_calls)

    async def loop(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        messages = self.begin(request)
        while (answer := await model_calls.ask(self.ask, messages)).tool_calls:
            messages += [answer, *await self.run_tools(answer, toolbox)]

    def begin(self, request: GenerationRequest) -> list[Message]:
        return list(request.messages)

    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        return await toolbox.call_all(answer.tool_calls)

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        target = find_target(call)
        settings = call.settings
        key = settings.api_key.reveal() if settings.api_key else "none"
        timeout = httpx.Timeout(None, connect=settings.time_limits.connect)
        with translated_errors(target):
            async with (
                httpx.AsyncClient(timeout=timeout, trust_env=False, verify=False) as client,
                client.stream(
                    "POST",
                    f"{settings.base_url}/chat/completions",
                    json=self.write_body(call),
                    headers={"Authorization": f"Bearer {key}"},
                ) as response,
            ):
                if not response.is_success:
                    await response.aread()
                    response.raise_for_status()
                with translated_errors(target, answering=True):
                    async with aclosing(read_completion(response.aiter_bytes(), target)) as events:
                        async for event in events:
                            yield event

    def write_body(self, call: ModelCall) -> dict[str, Any]:
        name = find_target(call).name
        body = {
            "model": name.name,
            "messages": chat_messages(call.messages, system=call.system, provider=name.provider),
            **chat_options(call.settings),
        }
        return {**body, "tools": [chat_tool(tool) for tool in call.tools]} if call.tools else body
