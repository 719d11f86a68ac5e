"""The HTTP connections of one turn: one pool, which both kinds of client that LiteLLM takes share.

A pool of its own lets every turn close what it opened; a shared one is a bottleneck when many turns run at once.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import httpx

from vmpilot.contract import ModelCall, ModelName, ModelSettings, choose_key

_HANDLER_PROVIDERS = frozenset(
    {
        "anthropic",
        "bedrock",
        "deepseek",
        "fireworks_ai",
        "gemini",
        "groq",
        "hosted_vllm",
        "huggingface",
        "mistral",
        "ollama",
        "openrouter",
        "together_ai",
        "vertex_ai",
        "xai",
    }
)
"""Providers that LiteLLM talks to through an `AsyncHTTPHandler`, if it is given one."""


class Connections:
    """An async context manager; leaving it closes everything."""

    def __init__(self, litellm: ModuleType) -> None:
        self._litellm = litellm
        self._pool: httpx.AsyncClient | None = None
        self._openai_clients: dict[ModelSettings, Any] = {}

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._pool is not None:
            await self._pool.aclose()

    def client_for(self, model: ModelName, call: ModelCall) -> Any:
        """The client that LiteLLM takes for this provider, None where it is better off with its own.

        Raises `openai.OpenAIError` where OpenAI's key is needed and missing.
        """
        if model.provider == "openai":
            # A new one would ask for the platform again, in a thread, at its first request.
            if call.settings not in self._openai_clients:
                self._openai_clients[call.settings] = self._make_openai_client(call)
            return self._openai_clients[call.settings]
        if model.provider in _HANDLER_PROVIDERS:
            return self._make_handler(call)
        return None

    def _make_openai_client(self, call: ModelCall) -> Any:
        import openai
        from litellm.secret_managers.main import get_secret_str

        settings = call.settings
        base_url = settings.base_url or get_secret_str("OPENAI_BASE_URL") or get_secret_str("OPENAI_API_BASE")
        return openai.AsyncOpenAI(
            api_key=choose_key(settings), base_url=base_url, http_client=self._open_pool(call), max_retries=0
        )

    def _make_handler(self, call: ModelCall) -> Any:
        handler = self._litellm.AsyncHTTPHandler(transport=_NoTransport())
        handler.client = self._open_pool(call)
        return handler

    def _open_pool(self, call: ModelCall) -> httpx.AsyncClient:
        if self._pool is None:
            from litellm.llms.custom_httpx.http_handler import get_ssl_configuration

            # LiteLLM's TLS settings, whose context it makes once in a process. No redirects: the conversation and
            # some providers' key headers would follow to wherever they lead.
            self._pool = OneTryClient(
                call.settings.time_limits.connect, verify=get_ssl_configuration(), follow_redirects=False, timeout=None
            )
        return self._pool


class OneTryClient(httpx.AsyncClient):
    """A client whose failures LiteLLM's HTTP handler does not answer with a second request behind our back.

    `connect` is how many seconds connecting may take: of an `httpx.Timeout` LiteLLM leaves most providers the longest.
    """

    def __init__(self, connect: float, **options: Any) -> None:
        super().__init__(**options)
        self._connect = connect

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "connect": self._connect}
        try:
            return await super().send(request, **options)
        except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
            # The handler tries again on exactly these two.
            raise httpx.NetworkError(str(error), request=error.request) from error


class _NoTransport(httpx.AsyncBaseTransport):
    """For the client that an `AsyncHTTPHandler` makes before it is given ours."""
