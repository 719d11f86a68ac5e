"""One spelling of models for every backend: LiteLLM's `provider/model`."""

from __future__ import annotations

import msgspec

from vmpilot.contract.errors import ModelNotFound

PROVIDERS: frozenset[str] = frozenset(
    {
        "anthropic",
        "azure",
        "azure_ai",
        "bedrock",
        "cohere",
        "deepseek",
        "fireworks_ai",
        "gemini",
        "groq",
        "hosted_vllm",
        "huggingface",
        "mistral",
        "ollama",
        "openai",
        "openrouter",
        "perplexity",
        "together_ai",
        "vertex_ai",
        "xai",
    }
)
"""Prefixes that name a provider whatever follows; any other prefix may be part of a model's own name."""

_FAMILIES = (
    ("openai", ("gpt-", "chatgpt-", "o1", "o3", "o4")),
    ("anthropic", ("claude",)),
    ("gemini", ("gemini",)),
    ("mistral", ("mistral-", "codestral", "magistral")),
    ("deepseek", ("deepseek-",)),
    ("xai", ("grok",)),
)


class ModelName(msgspec.Struct, frozen=True):
    """A model's provider and its name there."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


def parse_model_name(model: str, *, base_url: str | None = None) -> ModelName:
    """Read `provider/model`.

    With a `base_url` whatever is no known provider is a name on that OpenAI-compatible server (`Qwen/Qwen3-8B`).
    Without one, the provider of a bare name is inferred from the well-known families (`gpt-4o`, `claude-…`).

    Raises `ModelNotFound` for a bare name of no known family.
    """
    head, slash, tail = model.partition("/")
    if slash and head in PROVIDERS:
        return ModelName(head, tail)
    if base_url is not None:
        return ModelName("openai", model)
    if slash:
        return ModelName(head, tail)
    for provider, beginnings in _FAMILIES:
        if model.startswith(beginnings):
            return ModelName(provider, model)
    raise ModelNotFound(f'nobody knows which provider has the model "{model}": write it as provider/{model}')
