"""How LiteLLM reaches each provider: the backend's only provider table. It imports nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Route:
    """LiteLLM's route to a provider.

    `client` is the kind of client that it accepts: OpenAI's, Azure's, or its own `AsyncHTTPHandler`; None if it always
    creates one. `key_variable` holds the key, None for the provider's usual variable. With `merges_body`, it merges
    `extra_body` into an OpenAI-compatible request unchanged. With `renames_only`, its class for the provider only
    renames members that the kit reads under both names.
    """

    client: Literal["azure", "handler", "openai"] | None = "handler"
    key_variable: str | None = None
    merges_body: bool = False
    renames_only: bool = False


_ROUTES = {
    "anthropic": Route(),
    "azure": Route(client="azure"),
    "azure_ai": Route(),
    "bedrock": Route(),
    "cohere": Route(client=None),
    "deepseek": Route(),
    "fireworks_ai": Route(),
    "gemini": Route(),
    "groq": Route(renames_only=True),
    "hosted_vllm": Route(merges_body=True),
    "huggingface": Route(),
    "mistral": Route(),
    "moonshot": Route(client="openai"),
    "ollama": Route(),
    "openai": Route(client="openai", merges_body=True),
    "openrouter": Route(renames_only=True),
    "perplexity": Route(client="openai", key_variable="PERPLEXITYAI_API_KEY"),
    "together_ai": Route(),
    "vertex_ai": Route(),
    "xai": Route(),
}

KEY_VARIABLES = {name: row.key_variable for name, row in _ROUTES.items() if row.key_variable}


def find_route(provider: str) -> Route:
    """The row of a provider; the defaults for an unlisted one."""
    return _ROUTES.get(provider) or Route(client=None)
