"""A real backend without a model library: httpx against an OpenAI-compatible server, tools and all."""

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx

from vmpilot import contract
from vmpilot.contract import BackendEvent, MessageCompleted, Usage, hookimpl
from vmpilot.providers import MessageBuilder, chat_messages, chat_tool, parse_model_name

_ERRORS = {401: contract.AuthenticationFailed, 404: contract.ModelNotFound, 429: contract.RateLimited}


@hookimpl
async def generate_responses(
    request: contract.GenerationRequest, toolbox: contract.Toolbox, model_calls: contract.ModelCalls
) -> None:
    """Call the model and run its tools until an answer has no calls."""
    messages = list(request.messages)
    while (answer := await model_calls.ask(stream_once, messages)).tool_calls:
        messages += [answer, *await toolbox.call_all(answer.tool_calls)]


async def stream_once(call: contract.ModelCall) -> AsyncGenerator[BackendEvent, None]:
    """One streamed chat completion."""
    builder, finish, usage = MessageBuilder(), None, None
    settings = call.settings
    key = settings.api_key.reveal() if settings.api_key else "none"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    timeout = httpx.Timeout(None, connect=settings.time_limits.connect)  # the core supervises the rest
    try:
        async with (
            httpx.AsyncClient(base_url=settings.base_url or "", headers=headers, timeout=timeout) as client,
            client.stream("POST", "chat/completions", content=_body(call)) as response,
        ):
            if response.is_error:
                other = contract.ProviderUnavailable if response.is_server_error else contract.InvalidRequest
                status = response.status_code
                raise _ERRORS.get(status, other)(f"{call.model}: the server answered with status {status}")
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                chunk = json.loads(line.removeprefix("data: "))
                usage = _read_usage(chunk) or usage
                for choice in chunk.get("choices", ()):
                    finish = choice.get("finish_reason") or finish
                    for event in _read_delta(choice["delta"], builder):
                        yield event
    except (httpx.TransportError, ValueError) as error:
        raise contract.StreamInterrupted(f"the connection to the model broke: {error!r}") from error
    yield MessageCompleted(builder.build(finish), usage)


def _body(call: contract.ModelCall) -> str:
    name = parse_model_name(call.model, base_url=call.settings.base_url).name
    body = {"model": name, "messages": chat_messages(call.messages, system=call.system)}
    tools = {"tools": [chat_tool(spec) for spec in call.tools]} if call.tools else {}
    return json.dumps({**body, **tools, "stream": True, "stream_options": {"include_usage": True}})


def _read_delta(delta: dict[str, Any], builder: MessageBuilder) -> Iterator[BackendEvent]:
    if text := delta.get("content"):
        yield builder.add_text(text)
    for call in delta.get("tool_calls") or ():
        function = call["function"]
        pieces = {"name": function.get("name"), "arguments": function.get("arguments")}
        yield builder.add_tool_call(index=call.get("index"), id=call.get("id"), **pieces)


def _read_usage(chunk: dict[str, Any]) -> Usage | None:
    usage = chunk.get("usage")
    return Usage(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None
