"""Turns chat completion chunks, as JSON values, into the contract's events.

Source of the format: https://platform.openai.com/docs/api-reference/chat-streaming, and
`vmpilot.providers.provider_metadata` for the members of other providers. Members may be missing, null or of another
type, because servers that claim compatibility differ in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from vmpilot.contract.errors import BadResponse, ModelError, StreamInterrupted
from vmpilot.contract.events import BackendEvent, MessageCompleted
from vmpilot.contract.messages import Usage
from vmpilot.providers.message_builder import MessageBuilder
from vmpilot.providers.provider_errors import make_model_error, read_error_body
from vmpilot.providers.provider_metadata import LARGEST, ProviderMetadata
from vmpilot.providers.target import ModelTarget


class CompletionReader:
    """Assembles one message; `complete` returns it at the end of the answer.

    `finish_reason` and `usage` are None until the provider sends them.
    """

    def __init__(self, target: ModelTarget) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self._target = target
        self._builder = MessageBuilder()
        self._opaque = ProviderMetadata()
        self._has_begun = False
        self._index: object = None

    def read(self, chunk: Any) -> list[BackendEvent]:
        """The deltas of one chunk.

        Raises `BadResponse` if it is not a chunk, and the model's error if it is an error response.
        """
        try:
            if chunk.get("error") or chunk.get("object") == "error":
                raise self._refused(chunk)
            return self._read_chunk(chunk)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            said = self._target.quote(json.dumps(chunk, default=str)[:2000])
            raise BadResponse(
                f"{self._target} sent an invalid answer ({said}); try again or check the base URL"
            ) from error

    def complete(self, *, end_is_told: bool = False) -> MessageCompleted:
        """The complete message, marked as truncated if the stream ended without a finish reason.

        Raises `BadResponse` if it is empty, or `StreamInterrupted` if the server never marked the end.
        """
        if not self._has_begun:
            raise BadResponse(f"{self._target} sent an empty answer; try again or check the base URL")
        if self.finish_reason is None and not end_is_told:
            raise StreamInterrupted(f"{self._target} stopped in the middle of its answer; try again")
        provider = self._target.name.provider
        data = self._opaque.collect()
        return MessageCompleted(
            self._builder.build(self.finish_reason, provider=provider, provider_data=data), self.usage
        )

    def _refused(self, chunk: Mapping[str, Any]) -> ModelError:
        """The error for an error response in place of a chunk; a server failure by default."""
        failure = read_error_body(chunk)
        if not failure.status:
            failure = msgspec.structs.replace(failure, code=f"{failure.code} server_error")
        return make_model_error(failure, self._target)

    def _read_chunk(self, chunk: Mapping[str, Any]) -> list[BackendEvent]:
        usage = chunk.get("usage")
        if usage and isinstance(usage, Mapping):
            self.usage = _read_usage(usage)
        choices = chunk.get("choices")
        if not choices:
            return []
        choice = choices[0]
        if not self._has_begun:
            self._has_begun, self._index = True, choice.get("index") or 0
        elif (choice.get("index") or 0) != self._index:
            return []  # an additional choice that was not requested
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            self.finish_reason = reason
        events: list[BackendEvent] = []
        if delta := choice.get("delta"):
            self._read_delta(delta, events)
        elif message := choice.get("message"):
            self._read_delta(_number_calls(message), events)
        return events

    def _read_delta(self, delta: Mapping[str, Any], events: list[BackendEvent]) -> None:
        self._opaque.add_delta(delta)
        self._check_opaque_size()
        if reasoning := _string(delta.get("reasoning_content") or delta.get("reasoning")):
            events.append(self._builder.add_reasoning(reasoning))
        if content := delta.get("content"):
            self._read_content(content, events)
        if refusal := _string(delta.get("refusal")):
            events.append(self._builder.add_refusal(refusal))
        for fragment in delta.get("tool_calls") or ():
            self._read_fragment(fragment, events)
        if function := delta.get("function_call"):
            self._read_function_call(function, events)

    def _read_function_call(self, function: Mapping[str, Any], events: list[BackendEvent]) -> None:
        """The deprecated form of a single call; some servers send both forms."""
        delta = self._builder.add_function_call(
            name=_string(function.get("name")), arguments=_write_arguments(function.get("arguments"))
        )
        if delta is not None:
            events.append(delta)

    def _check_opaque_size(self) -> None:
        """Hidden data is not content, so no other limit counts it."""
        if self._opaque.size > LARGEST:
            raise BadResponse(f"{self._target} sent too much hidden reasoning; try again")

    def _read_content(self, content: str | list[dict[str, Any]], events: list[BackendEvent]) -> None:
        if isinstance(content, str):
            events.append(self._builder.add_text(content))
            return
        for part in content:  # Mistral sends reasoning next to text this way
            if thinking := _join_texts(part.get("thinking")):
                events.append(self._builder.add_reasoning(thinking))
            elif text := _string(part.get("text")):
                events.append(self._builder.add_text(text))

    def _read_fragment(self, fragment: Mapping[str, Any], events: list[BackendEvent]) -> None:
        function = fragment.get("function") or {}
        index = fragment.get("index")
        delta = self._builder.add_tool_call(
            index=index if isinstance(index, int) else None,
            id=_string(fragment.get("id")),
            name=_string(function.get("name")),
            arguments=_write_arguments(function.get("arguments")),
        )
        self._opaque.add_call(delta.position, fragment)
        self._check_opaque_size()
        events.append(delta)


def _number_calls(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Number the calls of a complete message, because their ids may be equal."""
    calls = message.get("tool_calls") or ()
    return {**message, "tool_calls": [{**call, "index": position} for position, call in enumerate(calls)]}


def _read_usage(usage: Mapping[str, Any]) -> Usage:
    """Token counts under OpenAI's names; a missing or invalid count is 0."""
    return Usage(
        input_tokens=_read_count(usage.get("prompt_tokens")),
        output_tokens=_read_count(usage.get("completion_tokens")),
        cached_tokens=_read_detail(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_read_detail(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _read_detail(details: object, name: str) -> int:
    return _read_count(details.get(name)) if isinstance(details, Mapping) else 0


def _read_count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e15 else 0


def _write_arguments(arguments: object) -> str | None:
    """Arguments as a string, even if a server sends them as JSON values."""
    if arguments is None or isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _join_texts(parts: object) -> str:
    if isinstance(parts, str):
        return parts
    texts = (part.get("text") for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    return "".join(text for text in texts if isinstance(text, str))
