"""One call through any chat model of LangChain, with LangChain's own messages and chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.base import merge_content
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.utils._merge import merge_dicts

from vmpilot.contract import BackendEvent, BadResponse, MessageCompleted, ModelCall, Usage
from vmpilot.providers import MessageBuilder, ModelTarget, chat_tool, translated_errors
from vmpilot_backend_langchain.messages import CONTENT, EXTRAS, convert_messages

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_FINISH_KEYS = ("finish_reason", "stop_reason", "done_reason")
_FINISHES = {
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "model_length": "length",
    "max_output_tokens": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "guardrail_intervened": "content_filter",
}
"""Finish reasons of other formats, translated for the message builder."""

_PLAIN_BLOCKS = frozenset({"text", "tool_use", "tool_call_chunk", "tool_call", "input_json_delta"})
_KEPT_ELSEWHERE = frozenset({"tool_calls", "function_call", "reasoning_content"})


async def stream_chat_model(
    model: BaseChatModel, call: ModelCall, target: ModelTarget
) -> AsyncGenerator[BackendEvent, None]:
    """Make the call and yield its events; closing the generator closes the model's stream."""
    messages = convert_messages(call.messages, system=call.system, provider=target.name.provider)
    runnable = model.bind_tools([chat_tool(tool) for tool in call.tools]) if call.tools else model
    reader = ChunkReader(target)
    options = call.settings
    if not options.streaming or "stream" in options.omitted:
        with translated_errors(target, answering=True):
            answer = await runnable.ainvoke(messages)
        for event in reader.read(_as_chunk(answer)):
            yield event
        yield reader.complete()
        return
    async with aclosing(cast("AsyncGenerator[Any, None]", runnable.astream(messages))) as chunks:
        chunk = await anext(chunks, None)  # this makes the request
        with translated_errors(target, answering=True):
            while chunk is not None:
                for event in reader.read(chunk):
                    yield event
                chunk = await anext(chunks, None)
    yield reader.complete()


class ChunkReader:
    """Assembles one message from LangChain's chunks; `complete` returns it at the end of the stream."""

    def __init__(self, target: ModelTarget) -> None:
        self._target = target
        self._builder = MessageBuilder()
        self._contents: list[Any] = []
        self._extras: list[dict[str, Any]] = []
        self._old_calls: list[dict[str, Any]] = []
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._empty = True

    def read(self, chunk: BaseMessage) -> Iterator[BackendEvent]:
        """The deltas in one chunk."""
        if not isinstance(chunk, AIMessageChunk):
            raise BadResponse(f"{self._target} sent an invalid answer ({type(chunk).__name__}); try again")
        extras = chunk.additional_kwargs
        self._empty = self._empty and not (
            chunk.content or chunk.tool_call_chunks or chunk.response_metadata or extras.get("function_call")
        )
        if reasoning := extras.get("reasoning_content"):
            yield self._builder.add_reasoning(str(reasoning))
        if isinstance(call := extras.get("function_call"), dict):
            self._old_calls.append(call)
        if kept := {name: value for name, value in extras.items() if name not in _KEPT_ELSEWHERE}:
            self._extras.append(kept)
        yield from self._read_content(chunk.content)
        for piece in chunk.tool_call_chunks:
            index = piece.get("index")
            yield self._builder.add_tool_call(
                index=index if isinstance(index, int) else None,
                id=piece.get("id"),
                name=piece.get("name"),
                arguments=piece.get("args"),
            )
        self._finish = _find_finish(chunk.response_metadata) or self._finish
        if chunk.usage_metadata:
            self._usage = (self._usage or Usage()) + _read_usage(chunk.usage_metadata)

    def complete(self) -> MessageCompleted:
        """The message so far; raises `BadResponse` if it is empty."""
        if self._empty:
            raise BadResponse(f"{self._target} sent an empty answer; try again or check the base URL")
        for call in self._old_calls:  # most integrations only repeat a call that is also in the newer form
            arguments = call.get("arguments") or ""
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            self._builder.add_function_call(name=call.get("name"), arguments=text)
        data = self._provider_data()
        return MessageCompleted(
            self._builder.build(self._finish, provider=self._target.name.provider, provider_data=data), self._usage
        )

    def _read_content(self, content: str | list[str | dict[str, Any]]) -> Iterator[BackendEvent]:
        if not content:
            return
        self._contents.append(content)
        for block in [content] if isinstance(content, str) else content:
            if isinstance(block, str) or block.get("type") == "text":
                text = block if isinstance(block, str) else str(block.get("text") or "")
                if text:
                    yield self._builder.add_text(text)
            elif reasoning := _find_reasoning(block):
                yield self._builder.add_reasoning(reasoning)

    def _provider_data(self) -> dict[str, Any]:
        """Content blocks and keywords that only the provider understands, such as signatures of its reasoning."""
        data: dict[str, Any] = {}
        if any(map(_is_opaque, self._contents)):
            blocks: list[Any] = [[content] if isinstance(content, str) else content for content in self._contents]
            data[CONTENT] = merge_content(blocks[0], *blocks[1:])
        if self._extras:
            data[EXTRAS] = reduce(merge_dicts, self._extras)
        return data


def _as_chunk(answer: BaseMessage) -> BaseMessage:
    """A whole answer as one chunk, with its calls as written as far as LangChain has kept them."""
    if not isinstance(answer, AIMessage):
        return answer
    calls = [(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in answer.tool_calls]
    broken = [(call["id"], call["name"], call["args"]) for call in answer.invalid_tool_calls]
    return AIMessageChunk(
        content=answer.content,
        additional_kwargs=answer.additional_kwargs,
        response_metadata=answer.response_metadata,
        usage_metadata=answer.usage_metadata,
        tool_call_chunks=[
            tool_call_chunk(name=name, args=arguments, id=id_, index=position)
            for position, (id_, name, arguments) in enumerate([*calls, *broken])
        ],
    )


def _is_opaque(content: str | list[str | dict[str, Any]]) -> bool:
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") not in _PLAIN_BLOCKS for block in content
    )


def _find_reasoning(block: Mapping[str, Any]) -> str | None:
    for name in ("thinking", "reasoning", "reasoning_content", "text"):
        value = block.get(name)
        if isinstance(value, str) and block.get("type") in {"thinking", "reasoning", "reasoning_content"}:
            return value or None
    return None


def _find_finish(metadata: Mapping[str, Any]) -> str | None:
    value = next((metadata[name] for name in _FINISH_KEYS if metadata.get(name)), None)
    word = str(getattr(value, "name", value)).lower() if value is not None else None
    return _FINISHES.get(word, word) if word else None


def _read_usage(usage: Mapping[str, Any]) -> Usage:
    read = usage.get("input_token_details") or {}
    written = usage.get("output_token_details") or {}
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cached_tokens=read.get("cache_read") or 0,
        reasoning_tokens=written.get("reasoning") or 0,
    )
