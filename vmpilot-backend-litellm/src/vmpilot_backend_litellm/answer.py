"""Reads an answer out of chat completion chunks as dictionaries, wherever they came from; knows no connection.

Source of the format: https://platform.openai.com/docs/api-reference/chat-streaming, and for `reasoning_content`,
`thinking_blocks` and `provider_specific_fields` https://docs.litellm.ai/docs/reasoning_content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmpilot.contract import (
    BackendEvent,
    MessageBuilder,
    MessageCompleted,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Usage,
    read_tool_call,
)
from vmpilot_backend_litellm.faults import UnreadableAnswer
from vmpilot_backend_litellm.opaque import OpaqueData


class AnswerReader:
    """Puts one answer together. `has_begun` once a choice came; `finish_reason` and `usage` are None for as long as
    the provider has told none.
    """

    def __init__(self, provider: str) -> None:
        self.has_begun = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self._provider = provider
        self._builder = MessageBuilder()
        self._opaque = OpaqueData(provider)

    def read(self, chunk: Mapping[str, Any]) -> list[BackendEvent]:
        """The deltas of one chunk; raises `UnreadableAnswer` where it is none."""
        try:
            return self._read_chunk(chunk)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UnreadableAnswer(repr(chunk)[:1000].encode("utf-8", "replace")) from error

    def complete(self) -> MessageCompleted:
        """The whole message, marked as cut where the provider told no reason for its end."""
        message = self._builder.build(self.finish_reason, provider=self._provider, provider_data=self._opaque.collect())
        return MessageCompleted(message, self.usage)

    def _read_chunk(self, chunk: Mapping[str, Any]) -> list[BackendEvent]:
        if usage := chunk.get("usage"):
            self.usage = read_usage(usage)
        choices = chunk.get("choices")
        if not choices:
            return []
        self.has_begun = True
        choice = choices[0]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        delta = choice.get("delta") or choice.get("message")
        return list(self._read_delta(delta)) if delta else []

    def _read_delta(self, delta: Mapping[str, Any]) -> Iterator[BackendEvent]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        self._opaque.add_delta(delta, reasoning)
        if reasoning:
            yield from self._read_reasoning(reasoning)
        if content := delta.get("content"):
            yield from self._read_content(content)
        if refusal := delta.get("refusal"):
            self._builder.add_refusal(refusal)
            yield TextDelta(refusal)
        for fragment in delta.get("tool_calls") or ():
            self._read_fragment(fragment)

    def _read_reasoning(self, piece: str) -> Iterator[BackendEvent]:
        self._builder.add_reasoning(piece)
        yield ReasoningDelta(piece)

    def _read_content(self, content: str | list[dict[str, Any]]) -> Iterator[BackendEvent]:
        if isinstance(content, str):
            self._builder.add_text(content)
            yield TextDelta(content)
            return
        for part in content:  # Mistral's way to send reasoning beside text
            if part["type"] == "thinking":
                yield from self._read_reasoning("".join(piece["text"] for piece in part["thinking"]))
            elif part["type"] == "text":
                yield from self._read_content(part["text"])

    def _read_fragment(self, fragment: Mapping[str, Any]) -> None:
        function = fragment.get("function") or {}
        self._builder.add_tool_call(
            index=fragment.get("index"),
            id=fragment.get("id"),
            name=function.get("name"),
            arguments=_argument_text(function.get("arguments")),
        )


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts by OpenAI's names; what is missing or no count is 0."""
    return Usage(
        input_tokens=_read_count(usage.get("prompt_tokens")),
        output_tokens=_read_count(usage.get("completion_tokens")),
        cached_tokens=_read_count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
        reasoning_tokens=_read_count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
    )


def parse_tool_calls(response: Any) -> tuple[ToolCall, ...]:
    """The tool calls of a whole response: a LiteLLM `ModelResponse`, its message, or either as a dictionary.

    Arguments stay the raw strings, which may be broken. Raises `TypeError` or `KeyError` for anything else.
    """
    dictionary = response if isinstance(response, Mapping) else response.model_dump()
    if "choices" in dictionary:
        dictionary = dictionary["choices"][0]["message"]
    return tuple(read_tool_call(call) for call in dictionary.get("tool_calls") or ())


def _read_count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _argument_text(arguments: object) -> str | None:
    """Arguments are a string; where a server sends the JSON itself, that is written out."""
    if arguments is None or isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)
