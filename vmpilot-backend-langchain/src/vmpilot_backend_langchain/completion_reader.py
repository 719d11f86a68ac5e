"""Reads the chunks of a chat completions stream, as dictionaries, into the contract's events.

Source of the format: https://platform.openai.com/docs/api-reference/chat-streaming. Every member may be missing, null
or of another type: servers that call themselves compatible differ in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vmpilot.contract import (
    BackendEvent,
    BadResponse,
    MessageBuilder,
    MessageCompleted,
    ToolCallDelta,
    Usage,
)


class CompletionReader:
    """Puts one message together; `complete` gives it when the stream is over. `source` names the sender in errors."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._builder = MessageBuilder()
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._empty = True

    def read(self, chunk: object) -> Iterator[BackendEvent]:
        """The deltas in one chunk; raises `BadResponse` for what is no chunk at all."""
        if not isinstance(chunk, dict):
            raise BadResponse(f"{self._source} sent {type(chunk).__name__} where a chunk of an answer belongs.")
        self._usage = _read_usage(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            self._empty = False
            yield from self._read_choice(choices[0])

    def complete(self) -> MessageCompleted:
        """The message as far as it came; raises `BadResponse` if nothing came."""
        if self._empty:
            raise BadResponse(f"{self._source} answered with an empty stream: try again, or check the base URL.")
        return MessageCompleted(self._builder.build(self._finish), self._usage)

    def _read_choice(self, choice: dict[str, Any]) -> Iterator[BackendEvent]:
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self._finish = finish
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            yield from self._read_delta(delta)

    def _read_delta(self, delta: dict[str, Any]) -> Iterator[BackendEvent]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning and isinstance(reasoning, str):
            yield self._builder.add_reasoning(reasoning)
        content = delta.get("content")
        if content:
            yield from self._read_content(content)
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            yield self._builder.add_refusal(refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                yield self._read_call(call, call["function"])

    def _read_content(self, content: object) -> Iterator[BackendEvent]:
        if isinstance(content, str):
            yield self._builder.add_text(content)
            return
        # Mistral's reasoning models send lists of parts.
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if thinking := _join_texts(part.get("thinking")):
                yield self._builder.add_reasoning(thinking)
            elif text := _string(part.get("text")):
                yield self._builder.add_text(text)

    def _read_call(self, call: dict[str, Any], function: dict[str, Any]) -> ToolCallDelta:
        arguments = function.get("arguments")
        if isinstance(arguments, (dict, list)):
            arguments = json.dumps(arguments)
        index = call.get("index")
        return self._builder.add_tool_call(
            index=index if isinstance(index, int) else None,
            id=_string(call.get("id")),
            name=_string(function.get("name")),
            arguments=_string(arguments),
        )


def _read_usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    return Usage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _count(counts: object, name: str) -> int:
    number = counts.get(name) if isinstance(counts, dict) else None
    return int(number) if isinstance(number, (int, float)) and 0 <= number < 1e15 else 0


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _join_texts(parts: object) -> str:
    if isinstance(parts, str):
        return parts
    texts = (part.get("text") for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    return "".join(text for text in texts if isinstance(text, str))
