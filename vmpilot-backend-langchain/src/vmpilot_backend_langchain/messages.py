"""The contract's messages to LangChain's, for chat models that do not speak OpenAI's format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from vmpilot.contract import AssistantMessage, ImagePart, Message, TextPart, ToolCall, ToolResult, UserMessage

CONTENT = "content"
EXTRAS = "additional_kwargs"
"""The names in `provider_data` of an AIMessage's list of content blocks and its additional keywords."""


def convert_messages(messages: Iterable[Message], *, system: str, provider: str) -> list[BaseMessage]:
    """The history as LangChain's messages, the system prompt first."""
    head: list[BaseMessage] = [SystemMessage(system)] if system else []
    return head + [convert_message(message, provider=provider) for message in messages]


def convert_message(message: Message, *, provider: str) -> BaseMessage:
    """One message, with provider metadata if it belongs to `provider`."""
    match message:
        case UserMessage(content=(TextPart(text=text),)):
            return HumanMessage(text)
        case UserMessage():
            return HumanMessage([_convert_part(part) for part in message.content])
        case ToolResult():
            status = "error" if message.is_error else "success"
            return ToolMessage(message.text, tool_call_id=message.call_id, name=message.name, status=status)
        case AssistantMessage():
            return _convert_answer(message, provider)


def _convert_part(part: TextPart | ImagePart) -> str | dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart(detail=None):
            return {"type": "image_url", "image_url": {"url": part.url}}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url, "detail": part.detail}}


def _convert_answer(message: AssistantMessage, provider: str) -> AIMessage:
    data = (message.provider_data or {}) if message.provider == provider else {}
    return AIMessage(
        content=data.get(CONTENT) or _thinking_content(data, message.text) or message.text,
        additional_kwargs=data.get(EXTRAS) or {},
        tool_calls=[
            {"type": "tool_call", "id": call.id, "name": call.name, "args": _read_arguments(call)}
            for call in message.tool_calls
        ],
    )


def _thinking_content(data: dict[str, Any], text: str) -> list[str | dict[str, Any]]:
    """Anthropic's content if another backend kept its reasoning: the original blocks, then the text."""
    blocks = data.get("thinking_blocks")
    if not isinstance(blocks, list):
        return []
    return [*blocks, *([{"type": "text", "text": text}] if text else [])]


def _read_arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments as the dictionary that LangChain requires; `{}` for broken ones, whose result is an error.

    As an `invalid_tool_call` the call would be omitted, and providers reject a result without its call.
    """
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return arguments if isinstance(arguments, dict) else {}
