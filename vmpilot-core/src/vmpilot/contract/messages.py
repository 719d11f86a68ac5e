"""What user, assistant and tools say to each other: the values of a conversation's history.

Nothing here knows a provider's format; `vmpilot.providers.openai_format` converts.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Finish: TypeAlias = Literal["stop", "tool_calls", "length", "content_filter", "refusal", "cut"]
"""How an assistant message ended.

`stop` and `tool_calls` are proper ends. `length`, `content_filter` and `refusal` are the provider's refusals to go on;
`cut` is everything else: the stream broke, the user interrupted, the provider gave no or an unknown reason.
"""

PROPER_ENDS: frozenset[str] = frozenset({"stop", "tool_calls"})


class TextPart(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    """A piece of a user message that is text."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image", tag_field="type", omit_defaults=True):
    """A piece of a user message that is an image.

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
        """The text parts, joined by line feeds."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that the model wants to have run.

    `arguments` is the string as the model wrote it: it may be broken. Only the toolbox reads it, and it reads strictly;
    a backend must neither repair nor complete it (half a command must never run).
    """

    id: str
    name: str
    arguments: str


class AssistantMessage(msgspec.Struct, frozen=True, tag="assistant", tag_field="type", omit_defaults=True):
    """The model's text, reasoning and tool calls in one answer.

    `provider_data` keeps what a provider wants back unchanged (signatures of reasoning, ids of items), under the
    provider's name in `provider`; it is sent to that provider only and dropped for any other.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    provider: str | None = None
    provider_data: dict[str, Any] | None = None

    @property
    def ended_properly(self) -> bool:
        """Whether the model finished by itself; the calls of a message that did not are never run."""
        return self.finish in PROPER_ENDS


class ToolResult(msgspec.Struct, frozen=True, tag="tool", tag_field="type", omit_defaults=True):
    """The result of one tool call, for the model.

    `is_error` marks a call that did not do what it was asked to; `text` then says what to do instead. `denied` marks
    a call that the permission policy did not let through. `remark` is a sentence of the core's own, which the model
    gets behind the text and outside of the marks that make tool output data; `ModelCalls` puts it there.
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
    """Tokens that one or several model calls used, as the provider counted them.

    `cached_tokens` is the part of `input_tokens` that the provider had in its cache, `reasoning_tokens` the part of
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
