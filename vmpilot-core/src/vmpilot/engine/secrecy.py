"""Masks known secrets in incoming messages before the log or the model can see them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vmpilot.contract import AssistantMessage, ImagePart, Message, TextPart, ToolResult, UserMessage
from vmpilot.machine.secrets.masking import Masker


def masked_request(message: UserMessage, masker: Masker) -> UserMessage:
    """The user's message with secrets masked in its text, such as those of `env | vmpilot …`."""
    return UserMessage(tuple(_masked_part(part, masker) for part in message.content))


def masked_history(messages: Iterable[Message], masker: Masker) -> tuple[Message, ...]:
    """Imported messages with secrets masked in their text."""
    return tuple(_masked(message, masker) for message in messages)


def _masked(message: Message, masker: Masker) -> Message:
    match message:
        case UserMessage():
            return masked_request(message, masker)
        case AssistantMessage() | ToolResult():
            return msgspec.structs.replace(message, text=masker.mask(message.text))


def _masked_part(part: TextPart | ImagePart, masker: Masker) -> TextPart | ImagePart:
    return TextPart(masker.mask(part.text)) if isinstance(part, TextPart) else part
