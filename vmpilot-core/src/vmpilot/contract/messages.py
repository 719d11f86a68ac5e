"""Messages between user, assistant and tools: the values of a conversation's history.

They are independent of provider formats; `vmpilot.providers.openai_format` converts them.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Finish: TypeAlias = Literal["stop", "tool_calls", "length", "content_filter", "refusal", "cut"]
"""How an assistant message ended.

`stop` and `tool_calls` are proper ends. `length`, `content_filter` and `refusal` mean that the provider stopped; `cut`
is everything else: the stream broke, the user interrupted, the provider sent no reason or an unknown one.
"""

PROPER_ENDS: frozenset[str] = frozenset({"stop", "tool_calls"})


class TextPart(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    """A text part of a user message."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image", tag_field="type", omit_defaults=True):
    """An image part of a user message.

    `url` is an `https:` or `data:` URL. `detail` is the provider's hint on resolution (`auto`, `low`, `high`).
    """

    url: str
    detail: str | None = None


class UserMessage(msgspec.Struct, frozen=True, tag="user", tag_field="type"):
    """The user's request: text and images, in order."""

    content: tuple[TextPart | ImagePart, ...]

    @classmethod
    def from_text(cls, text: str) -> UserMessage:
        return cls((TextPart(text),))

    @property
    def text(self) -> str:
        """The text parts, joined with line feeds."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call that the model requests.

    `arguments` is the string as the model wrote it, possibly broken. Only the toolbox parses it, strictly; a backend
    must not repair or complete it (half a command must never run).
    """

    id: str
    name: str
    arguments: str


class AssistantMessage(msgspec.Struct, frozen=True, tag="assistant", tag_field="type", omit_defaults=True):
    """The model's text, reasoning and tool calls in one answer.

    `provider_data` keeps data that a provider requires back unchanged (signatures of reasoning, ids of items);
    `provider` names that provider. The data is sent only to that provider and dropped for any other.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    provider: str | None = None
    provider_data: dict[str, Any] | None = None

    @property
    def ended_properly(self) -> bool:
        """Whether the model finished by itself; otherwise, the message's calls are never run."""
        return self.finish in PROPER_ENDS


class ToolResult(msgspec.Struct, frozen=True, tag="tool", tag_field="type", omit_defaults=True):
    """The result of one tool call, for the model.

    `is_error` marks a failed call; `text` then says what to do instead. `denied` marks a call that the permission
    policy denied. `remark` is a sentence from the core, which `ModelCalls` places after the text, outside of the marks
    that enclose tool output.
    """

    call_id: str
    name: str
    text: str
    is_error: bool = False
    denied: bool = False
    remark: str = ""


Message: TypeAlias = UserMessage | AssistantMessage | ToolResult
"""One entry of a history."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens used by one or more model calls, as counted by the provider.

    `cached_tokens` is the part of `input_tokens` that was in the provider's cache, `reasoning_tokens` the part of
    `output_tokens` that was reasoning.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )
