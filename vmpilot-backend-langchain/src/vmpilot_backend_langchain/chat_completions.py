"""One streamed call through an OpenAI-compatible chat model of LangChain.

The chat model says where the request goes, with which key and which parameters; the history goes into it as it is,
and the answer's chunks are read as they are. `ChatOpenAI`'s own way there and back transforms every message on every
call (70 ms for a long conversation) and drops reasoning, refusals, and calls without an index.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_core.messages import SystemMessage
from openai import APIError, AsyncStream

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BadResponse,
    Message,
    ModelCall,
    chat_message,
    chat_tool,
)
from vmpilot_backend_langchain.completion_reader import CompletionReader
from vmpilot_backend_langchain.target import Target

if TYPE_CHECKING:
    from langchain_openai.chat_models.base import BaseChatOpenAI
    from openai._streaming import ServerSentEvent

_DRAIN_SECONDS = 0.1
_KNOW_NEW_LIMIT = (".openai.com", ".azure.com")


async def stream_chat_completion(
    model: BaseChatOpenAI, call: ModelCall, target: Target
) -> AsyncGenerator[BackendEvent, None]:
    """Make the call and give its events; closing it closes the connection."""
    body = _make_body(model, call, target.name.provider)
    # `object` leaves the chunks the dictionaries that they are; to build the SDK's models costs ten times more.
    stream: AsyncStream[object] = await model.root_async_client.post(
        "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=_ReusingStream
    )
    reader = CompletionReader(str(target))
    async with stream:
        document = await _read_document(stream, target)
        if document is not None:
            for event in reader.read(document):
                yield event
        else:
            async for chunk in stream:
                for event in reader.read(chunk):
                    yield event
    yield reader.complete()


class _ReusingStream(AsyncStream[object]):
    """Reads on past `[DONE]` to the end of the body, so that the connection can serve the next call as well."""

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        events = super()._iter_events()
        async for event in events:
            if event.data.startswith("[DONE]"):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_SECONDS):
                        async for _ in events:
                            pass
            yield event


def _make_body(model: BaseChatOpenAI, call: ModelCall, provider: str) -> dict[str, Any]:
    opening = [SystemMessage(call.system)] if call.system else []
    body: dict[str, Any] = model._get_request_payload(opening, stream=True)  # noqa: SLF001  # the hook for subclasses
    body |= body.pop("extra_body", None) or {}
    body["messages"] += [_make_message(message, provider) for message in call.messages]
    body["stream_options"] = {"include_usage": True}
    if call.tools:
        body["tools"] = [chat_tool(tool) for tool in call.tools]
    if "max_completion_tokens" in body and not model.root_async_client.base_url.host.endswith(_KNOW_NEW_LIMIT):
        body["max_tokens"] = body.pop("max_completion_tokens")  # the only one that all local servers know
    return body


def _make_message(message: Message, provider: str) -> dict[str, Any]:
    dictionary = chat_message(message, provider=provider)
    if provider == "deepseek" and isinstance(message, AssistantMessage) and message.reasoning and message.tool_calls:
        dictionary["reasoning_content"] = message.reasoning  # its thinking models refuse calls without it
    return dictionary


async def _read_document(stream: AsyncStream[object], target: Target) -> object | None:
    """The whole answer where the server does not stream; None where it does."""
    response = stream.response
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "text/html":
        raise BadResponse(f"{target} answered with a web page: check the base URL, which usually ends in /v1.")
    if content_type != "application/json":
        return None
    await response.aread()
    document: object = response.json()
    if isinstance(document, dict) and document.get("choices"):
        return document
    if isinstance(document, dict) and document.get("error"):
        raise APIError("an error with status 200", response.request, body=document["error"])
    raise BadResponse(f"{target} answered with something that is no answer: {target.quote(str(document))}")
