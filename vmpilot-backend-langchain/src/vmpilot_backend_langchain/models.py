"""Creates LangChain's chat models from the contract's model names and settings, with HTTP clients for one turn."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import openai
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from vmpilot.contract import (
    InvalidRequest,
    ModelCall,
    ModelError,
    ModelInfo,
    ModelNotFound,
    ModelSettings,
    Secret,
    UsageError,
)
from vmpilot.providers import NO_KEY, ModelName, ModelTarget, choose_key, find_provider, open_client, parse_model_name
from vmpilot_backend_langchain.prices import find_prices
from vmpilot_backend_langchain.providers import Integration, find_integration

_SETTINGS = {
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_output_tokens", "num_predict"),
    "seed": ("seed",),
    "reasoning_effort": ("reasoning_effort", "effort", "thinking_level"),
}
"""The contract's settings and their names in the integrations."""


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class _LazyCompletions:
    """The client's `chat.completions`, on demand: importing the SDK's resources for it takes 0.3 s."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client.chat.completions, name)


class ChatModels:
    """The chat models of one turn. Each has its own HTTP client, because a client works in one event loop only."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, ModelSettings], BaseChatModel] = {}
        self._clients: list[_Closable] = []

    def open_model(self, call: ModelCall, target: ModelTarget) -> BaseChatModel:
        """The chat model for a call, created on first use.

        Raises `ModelNotFound` if the provider or its integration is missing, `AuthenticationFailed` without a key.
        """
        key = (call.model, call.settings)
        if key not in self._models:
            self._models[key] = self._make_model(call.settings, target)
        return self._models[key]

    async def close(self) -> None:
        """Close all connections."""
        while self._clients:
            await self._clients.pop().aclose()

    def _make_model(self, settings: ModelSettings, target: ModelTarget) -> BaseChatModel:
        target.check_key()
        integration = find_integration(target.name.provider)
        speaks_openai = find_provider(target.name.provider).speaks_openai
        if integration.name == "openai" or (settings.base_url and speaks_openai):
            return self._make_openai_model(settings, target)
        if settings.query and integration.name != "anthropic" and "http_async_client" not in integration.connection:
            raise UsageError(
                f"{target} cannot be used with a base URL that has a query; remove everything from the ? on"
            )
        arguments = self._connection_arguments(integration, settings)
        try:
            model = _make_integrated_model(target.name, integration, arguments)
        except ModelError:
            raise
        except ValueError as error:
            raise _explain_construction(error, target) from error
        model = model.model_copy(update=_known_settings(model, settings))
        if integration.name == "anthropic":
            self._separate_anthropic(model, settings)
        return model

    def _separate_anthropic(self, model: Any, settings: ModelSettings) -> None:
        """ChatAnthropic accepts no HTTP client: it shares one in the process, which follows redirects with the key."""
        client = self._make_client(settings, importlib.import_module("anthropic").DefaultAsyncHttpxClient)
        model.__dict__["_async_client"] = model._async_client.with_options(http_client=client)  # noqa: SLF001

    def _make_openai_model(self, settings: ModelSettings, target: ModelTarget) -> ChatOpenAI:
        if target.name.provider == "hosted_vllm" and settings.base_url is None:
            raise InvalidRequest(f"{target} needs the address of its server: set VMPILOT_BASE_URL")
        client = self._open_client(settings, target)
        return ChatOpenAI(
            model=target.name.name,
            root_async_client=client,
            async_client=_LazyCompletions(client),
            api_key=_read_no_key,
            use_responses_api=False,
            cache=False,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,  # type: ignore[call-arg]  # named by its alias in the plugin's eyes
            seed=settings.seed,
            reasoning_effort=settings.reasoning_effort,
        )

    def _open_client(self, settings: ModelSettings, target: ModelTarget) -> openai.AsyncOpenAI:
        http_client = self._make_client(settings)
        try:
            client = openai.AsyncOpenAI(
                base_url=settings.base_url,
                api_key=_make_key_reader(settings),
                timeout=http_client.timeout,
                http_client=http_client,
                max_retries=0,
            )
        except openai.OpenAIError as error:
            raise target.missing_key() from error
        client._platform = "Linux"  # noqa: SLF001  # or the SDK finds out in a thread, for each client
        if settings.base_url is not None:
            _forget_account(client)
        return client

    def _connection_arguments(self, integration: Integration, settings: ModelSettings) -> dict[str, Any]:
        arguments: dict[str, Any] = {"max_retries": 0, "timeout": settings.time_limits.whole}
        if settings.base_url is not None:
            arguments |= {"base_url": settings.base_url, "azure_endpoint": settings.base_url}
        if (key := choose_key(settings)) is not None:
            arguments["api_key"] = key
        if "http_async_client" in integration.connection:
            client = self._make_client(settings)
            arguments |= {"http_async_client": client, "timeout": client.timeout}
        return {name: value for name, value in arguments.items() if name in integration.connection}

    def _make_client(self, settings: ModelSettings, kind: type[Any] = openai.DefaultAsyncHttpxClient) -> Any:
        """A client of the HTTP library that the SDK of `kind` is built on: httpx, or httpx2 from openai 3 on."""
        client = open_client(kind, settings)
        self._clients.append(client)
        return client


def read_model_info(model: str) -> ModelInfo | None:
    """Facts about a model from LangChain's tables and the price list, without the network; None if neither has it."""
    try:
        target = ModelTarget(parse_model_name(model))
    except ModelError:
        return None
    profile = _read_profile(target)
    prices = find_prices(target.name)
    if not profile and not prices:
        return None
    return ModelInfo(
        context_window=profile.get("max_input_tokens"),
        max_output_tokens=profile.get("max_output_tokens"),
        supports_tools=profile.get("tool_calling"),
        supports_images=profile.get("image_inputs"),
        **prices,
    )


def _read_profile(target: ModelTarget) -> Mapping[str, Any]:
    """Also empty if the provider's integration is not installed."""
    try:
        return ChatModels()._make_model(ModelSettings(api_key=Secret(NO_KEY)), target).profile or {}  # noqa: SLF001
    except ModelError:
        return {}


def _make_integrated_model(name: ModelName, integration: Integration, arguments: dict[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    try:
        model: BaseChatModel = init_chat_model(name.name, model_provider=integration.name, **arguments)
    except ImportError as error:
        raise ModelNotFound(
            f"{name} needs LangChain's integration for this provider: pip install {integration.package}"
        ) from error
    return model


def _explain_construction(error: ValueError, target: ModelTarget) -> ModelError:
    """Integrations raise (pydantic's) ValueError for an unknown provider, and for a missing key."""
    text = str(error)
    if text.startswith("Unsupported provider"):
        return ModelNotFound(
            f'LangChain has no integration for the provider "{target.name.provider}": choose another model'
        )
    if "key" in text.lower() or "credential" in text.lower():
        return target.missing_key()
    return InvalidRequest(f"{target} cannot be used with these settings ({target.quote(text)}); change them")


def _known_settings(model: BaseChatModel, settings: ModelSettings) -> dict[str, Any]:
    fields = type(model).model_fields
    known: dict[str, Any] = {"cache": False}
    for name, spellings in _SETTINGS.items():
        value = getattr(settings, name) if name not in settings.omitted else None
        field = next((spelling for spelling in spellings if spelling in fields), None)
        if value is not None and field is not None:
            known[field] = value
    return known


def _make_key_reader(settings: ModelSettings) -> Callable[[], Awaitable[str]] | None:
    """A function, so that the client never prints the key."""
    if choose_key(settings) is None:
        return None

    async def read_key() -> str:
        return choose_key(settings) or NO_KEY

    return read_key


async def _read_no_key() -> str:
    """Keeps ChatOpenAI from making a synchronous client; the asynchronous one has its own key."""
    return NO_KEY


def _forget_account(client: openai.AsyncOpenAI) -> None:
    """Drop what the SDK read from OpenAI's variables: another server must not get it."""
    client.organization = None
    client.project = None
    client.admin_api_key = None
