"""One notation for models in every backend: LiteLLM's `provider/model`."""

from __future__ import annotations

import msgspec

from vmpilot.contract.errors import ModelNotFound
from vmpilot.providers.provider_table import PROVIDERS


class ModelName(msgspec.Struct, frozen=True):
    """A model's provider and the model's name at that provider."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


def parse_model_name(model: str, *, base_url: str | None = None) -> ModelName:
    """Parse `provider/model`.

    With a `base_url`, any other name is a model of that OpenAI-compatible server (`Qwen/Qwen3-8B`). Without one, the
    provider of a bare name (`gpt-4o`, `claude-…`) is inferred from its prefix.

    Raises `ModelNotFound` for a bare name of an unknown provider.
    """
    head, slash, tail = model.partition("/")
    if slash and head in PROVIDERS:
        return ModelName(head, tail)
    if base_url is not None:
        return ModelName("openai", model)
    if slash:
        return ModelName(head, tail)
    for name, provider in PROVIDERS.items():
        if model.startswith(provider.model_prefixes):
            return ModelName(name, model)
    raise ModelNotFound(f'Cannot infer the provider of model "{model}". Write it as provider/{model}.')
