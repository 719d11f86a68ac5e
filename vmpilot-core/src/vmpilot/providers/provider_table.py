"""Facts about model providers, one row each: the only such table in VMPilot.

A fact about the provider belongs here. Library details (a package, a class, the library's own environment variables)
belong in the table of the backend that uses the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from vmpilot.contract.refused_messages import IdForm

_OPENAI_IDS = IdForm(40, alphabet="printable")
_ANTHROPIC_IDS = IdForm(64)


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider.

    `key_variable` is the environment variable documented for its key, or None if no key is needed; it may be a phrase
    if there are several. `base_url` is the address at which its servers accept OpenAI's chat completions format;
    `speaks_openai` means that its servers accept that format at any address. A bare model name that starts with one of
    `model_prefixes` is treated as one of its models. `call_ids` matches the tool call ids that it accepts; None accepts
    any. With `wants_reasoning`, each answer must be sent back with its reasoning while tools are offered. Environment
    variables for its accounts start with one of `variable_prefixes`.
    """

    key_variable: str | None
    base_url: str | None = None
    speaks_openai: bool = False
    model_prefixes: tuple[str, ...] = ()
    call_ids: IdForm | None = None
    wants_reasoning: bool = False
    variable_prefixes: tuple[str, ...] = ()


def _openai_like(key_variable: str, base_url: str, **facts: Any) -> Provider:
    return Provider(key_variable=key_variable, base_url=base_url, speaks_openai=True, **facts)


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "anthropic": Provider(key_variable="ANTHROPIC_API_KEY", model_prefixes=("claude",), call_ids=_ANTHROPIC_IDS),
        "azure": Provider(key_variable="AZURE_API_KEY", call_ids=_OPENAI_IDS),
        "azure_ai": Provider(key_variable="AZURE_AI_API_KEY", variable_prefixes=("AZURE_",)),
        "bedrock": Provider(
            key_variable="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            call_ids=_ANTHROPIC_IDS,
            variable_prefixes=("AWS_",),
        ),
        "cohere": Provider(key_variable="COHERE_API_KEY"),
        "deepseek": _openai_like(
            "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1", model_prefixes=("deepseek-",), wants_reasoning=True
        ),
        "fireworks_ai": _openai_like(
            "FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1", variable_prefixes=("FIREWORKS_",)
        ),
        # No `call_ids`: LiteLLM stores Gemini's signatures in the ids.
        "gemini": Provider(
            key_variable="GOOGLE_API_KEY", model_prefixes=("gemini",), variable_prefixes=("GEMINI_", "GOOGLE_")
        ),
        "google_genai": Provider(key_variable="GOOGLE_API_KEY", variable_prefixes=("GEMINI_", "GOOGLE_")),
        "groq": _openai_like("GROQ_API_KEY", "https://api.groq.com/openai/v1"),
        "hosted_vllm": Provider(key_variable=None, speaks_openai=True),
        "huggingface": _openai_like(
            "HF_TOKEN", "https://router.huggingface.co/v1", variable_prefixes=("HF_", "HUGGINGFACE")
        ),
        "mistral": _openai_like(
            "MISTRAL_API_KEY",
            "https://api.mistral.ai/v1",
            model_prefixes=("mistral-", "codestral", "magistral"),
            call_ids=IdForm(9, exact=True, alphabet="letters"),
        ),
        "moonshot": _openai_like("MOONSHOT_API_KEY", "https://api.moonshot.ai/v1", wants_reasoning=True),
        "ollama": Provider(key_variable=None),
        "openai": _openai_like(
            "OPENAI_API_KEY",
            "https://api.openai.com/v1",
            model_prefixes=("gpt-", "chatgpt-", "o1", "o3", "o4"),
            call_ids=_OPENAI_IDS,
        ),
        "openrouter": _openai_like("OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
        "perplexity": _openai_like(
            "PERPLEXITY_API_KEY", "https://api.perplexity.ai", variable_prefixes=("PERPLEXITY", "PPLX_")
        ),
        "together_ai": _openai_like("TOGETHER_API_KEY", "https://api.together.xyz/v1", variable_prefixes=("TOGETHER",)),
        "vertex_ai": Provider(key_variable="GOOGLE_APPLICATION_CREDENTIALS", variable_prefixes=("VERTEX", "GOOGLE_")),
        "xai": _openai_like("XAI_API_KEY", "https://api.x.ai/v1", model_prefixes=("grok",)),
    }
)
"""Providers by model prefix. Any other prefix may be part of the model's name, as in `Qwen/Qwen3-8B`."""


def find_provider(name: str) -> Provider:
    """The row of a provider; a provider that is not in the table gets conventional variable names."""
    known = PROVIDERS.get(name) or Provider(key_variable=f"{name.upper()}_API_KEY")
    return known if known.variable_prefixes else msgspec.structs.replace(known, variable_prefixes=(f"{name.upper()}_",))
