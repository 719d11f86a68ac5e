"""Converts a model call with tools into one without: tools in the system prompt, calls and results as text.

User and assistant alternate in the result, as in the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    ImagePart,
    Message,
    ModelCall,
    TextPart,
    ToolCall,
    ToolResult,
    UserMessage,
)
from vmpilot.engine.prompts import TEXT_TOOLS_REMINDER, text_tools_prompt
from vmpilot.engine.text_tools._mark import CallMark


def without_tools(call: ModelCall, mark: CallMark) -> ModelCall:
    """The call to send."""
    prompt = text_tools_prompt(tools=call.tools, word=mark.word)
    system = f"{mark.struck_from(call.system)}\n\n{prompt}".strip()
    return msgspec.structs.replace(call, system=system, messages=tuple(_rewritten(call.messages, mark)), tools=())


def _rewritten(messages: Iterable[Message], mark: CallMark) -> Iterator[Message]:
    """The results of tools and the user message after them become one user message."""
    parts: list[TextPart | ImagePart] = []
    for message in messages:
        match message:
            case UserMessage():
                parts += (_without_word(part, mark) for part in message.content)
                _add_text(parts, TEXT_TOOLS_REMINDER)
            case ToolResult():
                _add_text(parts, f"Result of `{message.name}`:\n{mark.struck_from(message.text)}")
            case AssistantMessage():
                if parts:
                    yield UserMessage(tuple(parts))
                parts = []
                yield _as_said(message, mark)
    if parts:
        yield UserMessage(tuple(parts))


def _without_word(part: TextPart | ImagePart, mark: CallMark) -> TextPart | ImagePart:
    return TextPart(mark.struck_from(part.text)) if isinstance(part, TextPart) else part


def _add_text(parts: list[TextPart | ImagePart], text: str) -> None:
    """Consecutive texts become one part, because not every server accepts several."""
    match parts:
        case [*_, TextPart(text=before)]:
            parts[-1] = TextPart(f"{before}\n\n{text}")
        case _:
            parts.append(TextPart(text))


def _as_said(message: AssistantMessage, mark: CallMark) -> AssistantMessage:
    """The message with its calls in the form requested from the model, without opaque data, which would not match."""
    text = mark.struck_from(message.text)
    if not message.tool_calls:
        return message if text == message.text else msgspec.structs.replace(message, text=text)
    blocks = (_block(call, mark) for call in message.tool_calls)
    return AssistantMessage("\n\n".join([*([text] if text.strip() else []), *blocks]), message.reasoning)


def _block(call: ToolCall, mark: CallMark) -> str:
    arguments = mark.struck_from(call.arguments)
    name = msgspec.json.encode(call.name).decode()
    return f'```{mark.word}\n{{"tool": {name}, "arguments": {arguments or "{}"}}}\n```'
