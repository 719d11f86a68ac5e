"""Converts messages and tools to and from the dictionaries of OpenAI's chat completions API, and nothing more.

Source of the format: https://platform.openai.com/docs/api-reference/chat. Dictionaries survive a round trip unchanged;
facts that they cannot express (how a message ended, whether a tool failed, opaque data of another provider) are
dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from vmpilot.contract.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    ToolResult,
    UserMessage,
)
from vmpilot.contract.request import ModelSettings, ToolSpec
from vmpilot.providers.provider_metadata import read_call_data, read_message_data

_WITH_NEW_LIMIT = (".openai.com", ".azure.com")


def chat_messages(
    messages: Iterable[Message], *, system: str = "", provider: str | None = None
) -> list[dict[str, Any]]:
    """The `messages` of a chat completions request, the system prompt first.

    Opaque data of an assistant message is included if it belongs to `provider`.
    """
    head: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    return head + [chat_message(message, provider=provider) for message in messages]


def chat_message(message: Message, *, provider: str | None = None) -> dict[str, Any]:
    """One message as a chat completions dictionary."""
    match message:
        case UserMessage(content=(TextPart(text=text),)):
            return {"role": "user", "content": text}
        case UserMessage():
            return {"role": "user", "content": [_chat_part(part) for part in message.content]}
        case ToolResult():
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
        case AssistantMessage():
            return _chat_answer(message, provider)


def chat_tool(spec: ToolSpec) -> dict[str, Any]:
    """A tool as an entry of a chat completions request's `tools`."""
    function = {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
    return {"type": "function", "function": function}


def chat_options(settings: ModelSettings, *, base_url: str = "") -> dict[str, Any]:
    """The generation parameters of a chat completions request, without those that the server rejected.

    `base_url` is the server's address. OpenAI and Azure have renamed `max_tokens`; all local servers accept only the
    old name. A server that rejects one name gets the other.
    """
    limit = "max_tokens"
    if (urlsplit(base_url).hostname or "").endswith(_WITH_NEW_LIMIT):
        limit = "max_completion_tokens"
    streams = settings.streaming and "stream" not in settings.omitted
    options = {
        "stream": streams,
        "stream_options": {"include_usage": True} if streams else None,
        "temperature": settings.temperature,
        "reasoning_effort": settings.reasoning_effort,
        "seed": settings.seed,
    }
    names = [limit, *{"max_tokens", "max_completion_tokens"} - {limit}]
    options |= dict.fromkeys([name for name in names if name not in settings.omitted][:1], settings.max_tokens)
    return {name: value for name, value in options.items() if value is not None and name not in settings.omitted}


def read_chat_messages(dictionaries: Iterable[Mapping[str, Any]]) -> tuple[str, tuple[Message, ...]]:
    """The system prompt (several are joined with blank lines) and the messages of a chat completions request.

    Raises `ValueError` with the position (from 0) of a message that cannot be parsed.
    """
    system: list[str] = []
    messages: list[Message] = []
    names: dict[str, str] = {}
    for position, dictionary in enumerate(dictionaries):
        try:
            if dictionary["role"] in {"system", "developer"}:
                system.append(_plain_text(dictionary["content"]))
                continue
            message = _checked(_read_message(dictionary, names))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"message {position} is not a chat message: {error!r}") from error
        if isinstance(message, AssistantMessage):
            names.update((call.id, call.name) for call in message.tool_calls)
        messages.append(message)
    return "\n\n".join(system), tuple(messages)


def _chat_part(part: TextPart | ImagePart) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart(detail=None):
            return {"type": "image_url", "image_url": {"url": part.url}}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url, "detail": part.detail}}


def _chat_answer(message: AssistantMessage, provider: str | None) -> dict[str, Any]:
    data = message.provider_data if provider is not None and message.provider == provider else None
    answer: dict[str, Any] = {"role": "assistant", "content": message.text}
    if message.tool_calls:
        answer["content"] = message.text or None
        answer["tool_calls"] = [_chat_call(call, data or {}, at) for at, call in enumerate(message.tool_calls)]
    return answer | read_message_data(data or {})


def _chat_call(call: ToolCall, data: Mapping[str, Any], position: int) -> dict[str, Any]:
    own, inner = read_call_data(data, position)
    function = {"name": call.name, "arguments": call.arguments, **inner}
    return {"id": call.id, "type": "function", "function": function, **own}


def _read_message(dictionary: Mapping[str, Any], names: Mapping[str, str]) -> Message:
    content = dictionary.get("content")
    match dictionary["role"]:
        case "user":
            return UserMessage(_read_parts(content))
        case "assistant":
            calls = tuple(read_tool_call(call) for call in dictionary.get("tool_calls") or ())
            return AssistantMessage(
                text=_plain_text(content),
                reasoning=dictionary.get("reasoning_content") or "",
                tool_calls=calls,
                finish="tool_calls" if calls else "stop",
            )
        case "tool":
            call_id = dictionary["tool_call_id"]
            return ToolResult(call_id, dictionary.get("name") or names.get(call_id, ""), _plain_text(content))
        case role:
            raise ValueError(f"unknown role {role!r}")


def read_tool_call(dictionary: Mapping[str, Any]) -> ToolCall:
    """A chat completions tool call; the arguments stay the raw string.

    Raises `KeyError` or `TypeError` if it is not a tool call.
    """
    function = dictionary["function"]
    return ToolCall(dictionary["id"] or "", function["name"] or "", function["arguments"] or "")


def _checked(message: Message) -> Message:
    """Raises `ValueError` if a member has the wrong type: the dictionaries may come from any source."""
    return msgspec.convert(msgspec.to_builtins(message), type(message))


def _read_parts(content: object) -> tuple[TextPart | ImagePart, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list):
        raise TypeError(f"content is {type(content).__name__}, not a string or a list of parts")
    return tuple(_read_part(part) for part in content)


def _read_part(part: Mapping[str, Any]) -> TextPart | ImagePart:
    match part["type"]:
        case "text":
            return TextPart(part["text"])
        case "image_url":
            return ImagePart(part["image_url"]["url"], part["image_url"].get("detail"))
        case kind:
            raise ValueError(f"parts of type {kind!r} are not supported")


def _plain_text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.text for part in _read_parts(content) if isinstance(part, TextPart))
