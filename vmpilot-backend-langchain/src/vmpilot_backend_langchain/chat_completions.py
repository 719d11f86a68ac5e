"""One call through an OpenAI-compatible chat model of LangChain.

The chat model provides the URL, the key and the parameters; the history is sent unchanged, and the answer's chunks are
read unchanged. `ChatOpenAI` itself would transform every message on every call (70 ms for a long conversation) and drop
reasoning, refusals, and calls without an index.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from langchain_core.messages import SystemMessage
from openai import AsyncStream

from vmpilot.contract import BackendEvent, ModelCall
from vmpilot.providers import ModelTarget, chat_message, chat_options, chat_tool, read_completion, translated_errors

if TYPE_CHECKING:
    from langchain_openai.chat_models.base import BaseChatOpenAI


async def stream_chat_completion(
    model: BaseChatOpenAI, call: ModelCall, target: ModelTarget
) -> AsyncGenerator[BackendEvent, None]:
    """Make the call and yield its events; closing the generator closes the connection."""
    body = _make_body(model, call, target.name.provider)
    # The SDK only opens the response, also for an answer in one piece: its own reader accepts invalid answers.
    stream: AsyncStream[object] = await model.root_async_client.post(
        "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
    )
    with translated_errors(target, answering=True):
        async with stream, aclosing(read_completion(stream.response.aiter_bytes(), target)) as events:
            async for event in events:
                yield event


def _make_body(model: BaseChatOpenAI, call: ModelCall, provider: str) -> dict[str, Any]:
    opening = [SystemMessage(call.system)] if call.system else []
    body: dict[str, Any] = model._get_request_payload(opening)  # noqa: SLF001  # the hook for subclasses
    body |= body.pop("extra_body", None) or {}
    body["messages"] += [chat_message(message, provider=provider) for message in call.messages]
    if call.tools:
        body["tools"] = [chat_tool(tool) for tool in call.tools]
    body.pop("max_completion_tokens", None)
    body |= chat_options(call.settings, base_url=str(model.root_async_client.base_url))
    return {name: value for name, value in body.items() if name not in call.settings.omitted}
