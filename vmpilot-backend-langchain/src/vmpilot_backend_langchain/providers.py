"""Which LangChain integration speaks for which provider; a table, nothing is imported here."""

from __future__ import annotations

from dataclasses import dataclass

_COMMON = frozenset({"base_url", "api_key", "timeout", "max_retries"})


@dataclass(frozen=True, kw_only=True)
class Provider:
    """How LangChain knows a provider.

    `integration` is the name for `init_chat_model`, `package` what pip installs. `connection` are the arguments that
    its constructor takes out of base_url, api_key, timeout and max_retries. An `openai_like` provider is spoken to by
    `ChatOpenAI` where a base URL is given.
    """

    integration: str
    package: str
    connection: frozenset[str] = _COMMON
    openai_like: bool = False


KEY_VARIABLES = {
    "azure": "AZURE_OPENAI_API_KEY",
    "azure_ai": "AZURE_AI_CREDENTIAL",
    "fireworks_ai": "FIREWORKS_API_KEY",
    "huggingface": "HUGGINGFACEHUB_API_TOKEN",
    "perplexity": "PPLX_API_KEY",
    "together_ai": "TOGETHER_API_KEY",
}
"""Where the integrations look for keys, as far as they have their own names for that."""

_PROVIDERS = {
    "anthropic": Provider(integration="anthropic", package="langchain-anthropic"),
    "azure": Provider(
        integration="azure_openai",
        package="langchain-openai",
        connection=frozenset({"azure_endpoint", "api_key", "timeout", "max_retries", "http_async_client"}),
    ),
    "azure_ai": Provider(integration="azure_ai", package="langchain-azure-ai", connection=frozenset()),
    "bedrock": Provider(
        integration="bedrock_converse",
        package="langchain-aws",
        connection=frozenset({"base_url"}),
    ),
    "cohere": Provider(integration="cohere", package="langchain-cohere"),
    "deepseek": Provider(integration="deepseek", package="langchain-deepseek", openai_like=True),
    "fireworks_ai": Provider(integration="fireworks", package="langchain-fireworks", openai_like=True),
    "gemini": Provider(integration="google_genai", package="langchain-google-genai"),
    "groq": Provider(integration="groq", package="langchain-groq", openai_like=True),
    "hosted_vllm": Provider(integration="openai", package="langchain-openai", openai_like=True),
    "huggingface": Provider(
        integration="huggingface",
        package="langchain-huggingface",
        connection=frozenset(),
    ),
    "mistral": Provider(integration="mistralai", package="langchain-mistralai", openai_like=True),
    "ollama": Provider(integration="ollama", package="langchain-ollama", connection=frozenset({"base_url"})),
    "openai": Provider(integration="openai", package="langchain-openai", openai_like=True),
    "openrouter": Provider(integration="openrouter", package="langchain-openrouter", openai_like=True),
    "perplexity": Provider(integration="perplexity", package="langchain-perplexity", openai_like=True),
    "together_ai": Provider(integration="together", package="langchain-together", openai_like=True),
    "vertex_ai": Provider(
        integration="google_vertexai",
        package="langchain-google-vertexai",
        connection=frozenset({"max_retries"}),
    ),
    "xai": Provider(integration="xai", package="langchain-xai", openai_like=True),
}


def find_provider(name: str) -> Provider:
    """What is known of a provider; of any other that LangChain may know it under the same name."""
    known = _PROVIDERS.get(name)
    return known or Provider(integration=name, package=f"langchain-{name.replace('_', '-')}", connection=frozenset())
