"""The core's request to a backend: one turn, and within it single calls to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from vmpilot.contract.messages import Message
from vmpilot.contract.proxies import Proxies
from vmpilot.contract.secret import Secret

ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high"]


class TimeLimits(msgspec.Struct, frozen=True):
    """How long a call to the model may take, in seconds. The core enforces them around the backend's stream.

    `connect` is for the backend's HTTP client; `first_content` runs from the call's start to the first delta, `gap`
    between two deltas, `whole` over the entire call.
    """

    connect: float = 10.0
    first_content: float = 120.0
    gap: float = 60.0
    whole: float = 900.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and for how long the core retries a failed model call.

    `attempts` includes the first attempt; `total_seconds` limits the total wait between attempts of one call. A backend
    disables its library's retries, or they would multiply.
    """

    attempts: int = 3
    total_seconds: float = 60.0


class ModelSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings for model calls; None leaves the choice to the provider.

    `base_url` and `api_key` select an OpenAI-compatible server and override the provider's variables. `query` is
    appended to each request's URL, such as `api-version=2024-02-01`. `proxies` are the only ones to use: a server that
    VMPilot started has none, whatever the environment says. Without `streaming`, a non-streamed answer is requested.
    `omitted` are request parameters that this server is known to reject, such as `stream_options`: a backend leaves
    them out.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    seed: int | None = None
    base_url: str | None = None
    query: str = ""
    proxies: Proxies = Proxies()
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
    """One turn: everything that a backend needs.

    `messages` is a valid history (each tool call answered) that ends in the user's message. `system` is the system
    prompt. `model` is written `provider/model`, as in LiteLLM; without a provider, the backend infers it.
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
    """One model call, as `ModelCalls` passes it to the backend's `stream_once`.

    `messages` may differ from those that the backend passed in: broken arguments are made harmless, long histories
    compacted. Always send these messages.
    """

    messages: tuple[Message, ...]
    system: str
    model: str
    settings: ModelSettings
    tools: tuple[ToolSpec, ...]
