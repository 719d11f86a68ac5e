"""How many tokens a request has, nearly: a quarter of its bytes, set right by what the provider counted last."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vmpilot.contract import AssistantMessage, ImagePart, Message, TextPart, ToolResult, ToolSpec, UserMessage

BYTES_PER_TOKEN = 4
"""English prose has four to five, code and logs three; the provider's own count makes up for the difference."""

_MESSAGE = 4
_IMAGE = {"low": 100}
_LARGE_IMAGE = 1_000
_BELIEVABLE = (0.25, 4.0)


def weigh(message: Message) -> int:
    """The message's tokens, before the provider's count is known. Reasoning is not sent and weighs nothing."""
    match message:
        case UserMessage():
            return _MESSAGE + sum(map(_weigh_part, message.content))
        case ToolResult():
            return _MESSAGE + weigh_text(message.text)
        case AssistantMessage():
            calls = sum(weigh_text(call.name) + weigh_text(call.arguments) + _MESSAGE for call in message.tool_calls)
            opaque = len(repr(message.provider_data)) // BYTES_PER_TOKEN if message.provider_data else 0
            return _MESSAGE + weigh_text(message.text) + calls + opaque


def weigh_all(messages: Iterable[Message]) -> int:
    """The messages' tokens together."""
    return sum(map(weigh, messages))


def weigh_frame(system: str, tools: Iterable[ToolSpec]) -> int:
    """The tokens of what every request begins with."""
    specs = sum(len(tool.description) + len(msgspec.json.encode(tool.parameters)) for tool in tools)
    return weigh_text(system) + specs // BYTES_PER_TOKEN


def weigh_text(text: str) -> int:
    """The text's tokens."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size // BYTES_PER_TOKEN


def _weigh_part(part: TextPart | ImagePart) -> int:
    if isinstance(part, ImagePart):
        return _IMAGE.get(part.detail or "", _LARGE_IMAGE)
    return weigh_text(part.text)


class TokenGauge:
    """Weights into tokens as the provider counts them."""

    def __init__(self) -> None:
        self._ratio = 1.0

    def tokens(self, weight: int) -> int:
        """The tokens of a request with this weight."""
        return round(weight * self._ratio)

    def weight(self, tokens: int) -> int:
        """The weight of a request with so many tokens."""
        return round(tokens / self._ratio)

    def learn(self, weight: int, tokens: int) -> None:
        """The provider counted so many tokens for this weight. A count that cannot be true is passed over."""
        low, high = _BELIEVABLE
        if weight and low <= tokens / weight <= high:
            self._ratio = tokens / weight
