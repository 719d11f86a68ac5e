"""The LangChain integration of each provider: the backend's only provider table. It imports nothing."""

from __future__ import annotations

from dataclasses import dataclass

_COMMON = frozenset({"base_url", "api_key", "timeout", "max_retries"})


@dataclass(frozen=True, kw_only=True)
class Integration:
    """A provider's integration.

    `name` is its name for `init_chat_model`, `package` its distribution. Its constructor takes the `connection`
    arguments. `key_variable` holds the key, None for the provider's usual variable. `price_list` is the provider's id
    in genai-prices.
    """

    name: str
    package: str
    connection: frozenset[str] = _COMMON
    key_variable: str | None = None
    price_list: str | None = None


_INTEGRATIONS = {
    "anthropic": Integration(name="anthropic", package="langchain-anthropic", price_list="anthropic"),
    "azure": Integration(
        name="azure_openai",
        package="langchain-openai",
        connection=frozenset({"azure_endpoint", "api_key", "timeout", "max_retries", "http_async_client"}),
        key_variable="AZURE_OPENAI_API_KEY",
        price_list="azure",
    ),
    "azure_ai": Integration(
        name="azure_ai",
        package="langchain-azure-ai",
        connection=frozenset(),
        key_variable="AZURE_AI_CREDENTIAL",
        price_list="azure",
    ),
    "bedrock": Integration(
        name="bedrock_converse", package="langchain-aws", connection=frozenset({"base_url"}), price_list="aws"
    ),
    "cohere": Integration(name="cohere", package="langchain-cohere", price_list="cohere"),
    "deepseek": Integration(name="deepseek", package="langchain-deepseek", price_list="deepseek"),
    "fireworks_ai": Integration(name="fireworks", package="langchain-fireworks", price_list="fireworks"),
    "gemini": Integration(name="google_genai", package="langchain-google-genai", price_list="google"),
    "groq": Integration(name="groq", package="langchain-groq", price_list="groq"),
    "hosted_vllm": Integration(name="openai", package="langchain-openai"),
    "huggingface": Integration(
        name="huggingface",
        package="langchain-huggingface",
        connection=frozenset(),
        key_variable="HUGGINGFACEHUB_API_TOKEN",
    ),
    "mistral": Integration(name="mistralai", package="langchain-mistralai", price_list="mistral"),
    "moonshot": Integration(
        name="moonshot", package="langchain-moonshot", connection=frozenset(), price_list="moonshotai"
    ),
    "ollama": Integration(name="ollama", package="langchain-ollama", connection=frozenset({"base_url"})),
    "openai": Integration(name="openai", package="langchain-openai", price_list="openai"),
    "openrouter": Integration(name="openrouter", package="langchain-openrouter", price_list="openrouter"),
    "perplexity": Integration(
        name="perplexity", package="langchain-perplexity", key_variable="PPLX_API_KEY", price_list="perplexity"
    ),
    "together_ai": Integration(name="together", package="langchain-together", price_list="together"),
    "vertex_ai": Integration(
        name="google_vertexai",
        package="langchain-google-vertexai",
        connection=frozenset({"max_retries"}),
        price_list="google",
    ),
    "xai": Integration(name="xai", package="langchain-xai", price_list="x-ai"),
}

KEY_VARIABLES = {name: row.key_variable for name, row in _INTEGRATIONS.items() if row.key_variable}


def find_integration(provider: str) -> Integration:
    """The integration for a provider; for an unlisted one, LangChain's integration of the same name, if any."""
    known = _INTEGRATIONS.get(provider)
    package = f"langchain-{provider.replace('_', '-')}"
    return known or Integration(name=provider, package=package, connection=frozenset())
