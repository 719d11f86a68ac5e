"""Estimates the tokens of a request: a quarter of its bytes, corrected by the provider's last count."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vmpilot.contract import AssistantMessage, ImagePart, Message, TextPart, ToolResult, ToolSpec, UserMessage

BYTES_PER_TOKEN = 4
"""English prose has four to five, code and logs three; the provider's count corrects the difference."""

_MESSAGE = 4
_IMAGE = {"low": 100}
_LARGE_IMAGE = 1_000
_BELIEVABLE = (0.25, 4.0)


def estimate_message_tokens(message: Message) -> int:
    """The message's estimated tokens, before correction. Reasoning is not sent and counts nothing."""
    match message:
        case UserMessage():
            return _MESSAGE + sum(map(_weigh_part, message.content))
        case ToolResult():
            return _MESSAGE + estimate_text_tokens(message.text)
        case AssistantMessage():
            calls = sum(
                estimate_text_tokens(call.name) + estimate_text_tokens(call.arguments) + _MESSAGE
                for call in message.tool_calls
            )
            opaque = len(repr(message.provider_data)) // BYTES_PER_TOKEN if message.provider_data else 0
            return _MESSAGE + estimate_text_tokens(message.text) + calls + opaque


def estimate_tokens(messages: Iterable[Message]) -> int:
    """The messages' total tokens."""
    return sum(map(estimate_message_tokens, messages))


def estimate_overhead(system: str, tools: Iterable[ToolSpec]) -> int:
    """The tokens of the part that starts every request."""
    specs = sum(len(tool.description) + len(msgspec.json.encode(tool.parameters)) for tool in tools)
    return estimate_text_tokens(system) + specs // BYTES_PER_TOKEN


def estimate_text_tokens(text: str) -> int:
    """The text's tokens."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size // BYTES_PER_TOKEN


def _weigh_part(part: TextPart | ImagePart) -> int:
    if isinstance(part, ImagePart):
        return _IMAGE.get(part.detail or "", _LARGE_IMAGE)
    return estimate_text_tokens(part.text)


class TokenGauge:
    """Converts estimates into tokens as the provider counts them."""

    def __init__(self) -> None:
        self._ratio = 1.0

    def tokens(self, estimate: int) -> int:
        """The tokens of a request with this estimate."""
        return round(estimate * self._ratio)

    def estimate(self, tokens: int) -> int:
        """The estimate of a request with this many tokens."""
        return round(tokens / self._ratio)

    def learn(self, estimate: int, tokens: int) -> None:
        """Record the provider's count for this estimate. An implausible count is ignored."""
        low, high = _BELIEVABLE
        if estimate and low <= tokens / estimate <= high:
            self._ratio = tokens / estimate
