"""What the core asks of a backend: one turn, and within it single calls to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from vmpilot.contract.messages import Message

ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high"]


class Secret:
    """A string that never prints: no repr, no str, no JSON, no pickle shows it; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


class TimeLimits(msgspec.Struct, frozen=True):
    """How long a call to the model may take, in seconds. The core enforces them around the backend's stream.

    `connect` is the one that a backend hands to its HTTP client; `first_content` runs from the call's start to the
    first delta, `gap` between one and the next, `whole` over the whole call.
    """

    connect: float = 10.0
    first_content: float = 120.0
    gap: float = 60.0
    whole: float = 900.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how patiently the core makes a failed call to the model again.

    `attempts` counts the first try; `total_seconds` bounds the waiting of all tries of one call together. A backend
    keeps its library's own retries off, or they would multiply.
    """

    attempts: int = 3
    total_seconds: float = 60.0


class ModelSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to ask the model; None leaves the choice to the provider.

    `base_url` and `api_key` point at an OpenAI-compatible server and win over the provider's own variables. Without
    `streaming` the answer is asked for in one piece. `omitted` are members of the request that this server is known
    not to take, such as `stream_options`: a backend leaves them out.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    seed: int | None = None
    base_url: str | None = None
    api_key: Secret | None = None
    time_limits: TimeLimits = TimeLimits()
    streaming: bool = True
    omitted: tuple[str, ...] = ()


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it. `parameters` is the JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class GenerationRequest(msgspec.Struct, frozen=True):
    """One turn: everything that a backend needs to know.

    `messages` is a valid history (each tool call answered) that ends in the user's message. `system` is the system
    prompt. `model` is spelt `provider/model`, as LiteLLM does; without a provider the backend infers it.
    """

    conversation_id: str
    turn_id: str
    messages: tuple[Message, ...]
    system: str
    model: str
    settings: ModelSettings = ModelSettings()
    tools: tuple[ToolSpec, ...] = ()
    retry: RetryPolicy = RetryPolicy()


class ModelCall(msgspec.Struct, frozen=True):
    """One call to the model, as `ModelCalls` hands it to the backend's `stream_once`.

    `messages` may differ from what the backend passed in: broken arguments are made harmless, long histories
    compacted. What is to be sent is always this.
    """

    messages: tuple[Message, ...]
    system: str
    model: str
    settings: ModelSettings
    tools: tuple[ToolSpec, ...]
