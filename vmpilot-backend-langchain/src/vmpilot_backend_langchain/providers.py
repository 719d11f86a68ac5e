"""Which LangChain integration speaks for which provider; a table, nothing is imported here."""

from __future__ import annotations

from dataclasses import dataclass

_COMMON = frozenset({"base_url", "api_key", "timeout", "max_retries"})


@dataclass(frozen=True, kw_only=True)
class Provider:
    """How LangChain knows a provider.

    `integration` is the name for `init_chat_model`, `package` what pip installs, `key_variable` where the integration
    looks for a key by itself. `connection` are the arguments that its constructor takes out of base_url, api_key,
    timeout and max_retries. An `openai_like` provider is spoken to by `ChatOpenAI` where a base URL is given.
    """

    integration: str
    package: str
    key_variable: str | None = None
    connection: frozenset[str] = _COMMON
    openai_like: bool = False


_PROVIDERS = {
    "anthropic": Provider(integration="anthropic", package="langchain-anthropic", key_variable="ANTHROPIC_API_KEY"),
    "azure": Provider(
        integration="azure_openai",
        package="langchain-openai",
        key_variable="AZURE_OPENAI_API_KEY",
        connection=frozenset({"azure_endpoint", "api_key", "timeout", "max_retries", "http_async_client"}),
    ),
    "azure_ai": Provider(
        integration="azure_ai", package="langchain-azure-ai", key_variable="AZURE_AI_CREDENTIAL", connection=frozenset()
    ),
    "bedrock": Provider(
        integration="bedrock_converse",
        package="langchain-aws",
        key_variable="AWS_ACCESS_KEY_ID",
        connection=frozenset({"base_url"}),
    ),
    "cohere": Provider(integration="cohere", package="langchain-cohere", key_variable="COHERE_API_KEY"),
    "deepseek": Provider(
        integration="deepseek", package="langchain-deepseek", key_variable="DEEPSEEK_API_KEY", openai_like=True
    ),
    "fireworks_ai": Provider(
        integration="fireworks", package="langchain-fireworks", key_variable="FIREWORKS_API_KEY", openai_like=True
    ),
    "gemini": Provider(integration="google_genai", package="langchain-google-genai", key_variable="GOOGLE_API_KEY"),
    "groq": Provider(integration="groq", package="langchain-groq", key_variable="GROQ_API_KEY", openai_like=True),
    "hosted_vllm": Provider(integration="openai", package="langchain-openai", openai_like=True),
    "huggingface": Provider(
        integration="huggingface",
        package="langchain-huggingface",
        key_variable="HUGGINGFACEHUB_API_TOKEN",
        connection=frozenset(),
    ),
    "mistral": Provider(
        integration="mistralai", package="langchain-mistralai", key_variable="MISTRAL_API_KEY", openai_like=True
    ),
    "ollama": Provider(integration="ollama", package="langchain-ollama", connection=frozenset({"base_url"})),
    "openai": Provider(
        integration="openai", package="langchain-openai", key_variable="OPENAI_API_KEY", openai_like=True
    ),
    "openrouter": Provider(
        integration="openrouter", package="langchain-openrouter", key_variable="OPENROUTER_API_KEY", openai_like=True
    ),
    "perplexity": Provider(
        integration="perplexity", package="langchain-perplexity", key_variable="PPLX_API_KEY", openai_like=True
    ),
    "together_ai": Provider(
        integration="together", package="langchain-together", key_variable="TOGETHER_API_KEY", openai_like=True
    ),
    "vertex_ai": Provider(
        integration="google_vertexai",
        package="langchain-google-vertexai",
        key_variable="GOOGLE_APPLICATION_CREDENTIALS",
        connection=frozenset({"max_retries"}),
    ),
    "xai": Provider(integration="xai", package="langchain-xai", key_variable="XAI_API_KEY", openai_like=True),
}


def find_provider(name: str) -> Provider:
    """What is known of a provider; of any other that LangChain may know it under the same name."""
    known = _PROVIDERS.get(name)
    return known or Provider(integration=name, package=f"langchain-{name.replace('_', '-')}", connection=frozenset())
