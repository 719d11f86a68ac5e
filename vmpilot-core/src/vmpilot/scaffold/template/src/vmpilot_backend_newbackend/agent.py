"""The agent engine: a loop around any server that speaks OpenAI's API."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import httpx
from vmpilot.contract import (
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    Message,
    ModelCall,
    ModelCalls,
    ModelNotFound,
    Secret,
    Toolbox,
    hookimpl,
)
from vmpilot.providers import (
    NO_KEY,
    ModelTarget,
    chat_messages,
    chat_options,
    chat_tool,
    find_provider,
    find_target,
    open_client,
    read_completion,
    translated_errors,
)

NAME = "newbackend"
LEVELS = "core streaming tools parallel errors cancel usage resume"


@hookimpl
def describe_backend() -> BackendInfo:
    """Who this backend is, and which levels of the conformance suite it claims."""
    release = version(f"vmpilot-backend-{NAME}")
    return BackendInfo(NAME, release, capabilities=frozenset(LEVELS.split()))


@hookimpl
async def generate_responses(
    request: GenerationRequest,
    toolbox: Toolbox,
    model_calls: ModelCalls,
) -> None:
    """Run one turn: call the model and run its tool calls until it answers."""
    history: list[Message] = [*request.messages]
    while (answer := await model_calls.ask(ask_model, history)).tool_calls:
        history += [answer, *await toolbox.call_all(answer.tool_calls)]


async def ask_model(call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
    """Make one call: deltas as they arrive, then one `MessageCompleted`.

    It raises only the contract's errors and does not retry.
    """
    target = choose_target(call)
    key = target.key.reveal() if target.key else NO_KEY
    with translated_errors(target):
        async with (
            # It bounds connecting, follows no redirect, for the key would
            # travel along, and uses the proxies of the call's settings.
            open_client(httpx.AsyncClient, call.settings) as client,
            client.stream(
                "POST",
                f"{find_address(target)}/chat/completions",
                json=write_body(call, target),
                headers={"Authorization": f"Bearer {key}"},
            ) as response,
        ):
            if not response.is_success:
                await response.aread()
                response.raise_for_status()
            with translated_errors(target, answering=True):
                answer = read_completion(response.aiter_bytes(), target)
                async with aclosing(answer) as events:
                    async for event in events:
                        yield event


def choose_target(call: ModelCall) -> ModelTarget:
    """The target of the call and its key: the user's, or the provider's own."""
    target = find_target(call)
    if target.key is None and target.base_url is None:
        key = os.environ.get(target.key_variable or "")
        if not key:
            raise target.missing_key()
        target = ModelTarget(target.name, None, Secret(key), target.key_variable)
    target.check_key()
    return target


def find_address(target: ModelTarget) -> str:
    """The server's address."""
    known = find_provider(target.name.provider)
    address = target.base_url or known.base_url
    if address is None:
        raise ModelNotFound(f"Unknown address for {target}: set VMPILOT_BASE_URL")
    return address.rstrip("/")


def write_body(call: ModelCall, target: ModelTarget) -> dict[str, Any]:
    """The request in OpenAI's format."""
    name = target.name
    history = chat_messages(call.messages, system=call.system, provider=name.provider)
    body: dict[str, Any] = {"model": name.name, "messages": history}
    body |= chat_options(call.settings, base_url=find_address(target))
    if call.tools:
        body["tools"] = [chat_tool(tool) for tool in call.tools]
    return body
