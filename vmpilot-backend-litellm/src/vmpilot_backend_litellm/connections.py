"""The HTTP connections of one turn: one pool per set of proxies, shared by all kinds of client that LiteLLM accepts.

With its own pool, each turn can close what it opened; a shared one is a bottleneck if many turns run at once.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import httpx

from vmpilot.contract import ModelCall, ModelSettings, Proxies, UsageError
from vmpilot.providers import ModelName, choose_key, find_provider, open_client
from vmpilot_backend_litellm.providers import find_route

_TOKEN_VERSIONS = frozenset({"latest", "preview", "v1"})
"""Versions of Azure's API for which LiteLLM uses OpenAI's client, which sends the key as a token."""

_STAND_IN: dict[str, Any] = {
    "id": "",
    "object": "chat.completion",
    "created": 0,
    "model": "",
    "service_tier": "auto",  # LiteLLM's class for Groq looks for it
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "-"}, "finish_reason": "stop"}],
}
"""The response that LiteLLM reads instead of a withheld answer."""


class Connections:
    """An async context manager; leaving it closes everything."""

    def __init__(self, litellm: ModuleType) -> None:
        self._litellm = litellm
        self._pools: dict[tuple[Proxies, str, float], OneTryClient] = {}
        self._asked: OneTryClient | None = None
        self._openai_clients: dict[tuple[str, ModelSettings], Any] = {}

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def client_for(self, model: ModelName, call: ModelCall, *, keep: bool = False) -> Any:
        """The client to pass to LiteLLM for this provider, None if it must make its own.

        With `keep`, LiteLLM does not see the answer to this call; `take_kept` returns it.

        Raises `openai.OpenAIError` if OpenAI's key is needed and missing, and `UsageError` if the base URL has a query
        and LiteLLM's own client is used, which would not add it to requests.
        """
        pool = self._asked = self._open_pool(call)
        pool.keeps, pool.kept = keep, None
        kind = find_route(model.provider).client
        client = None
        if kind == "openai":
            # A new client would look up the platform again, in a thread, at its first request.
            key = (model.provider, call.settings)
            client = self._openai_clients[key] = self._openai_clients.get(key) or self._make_openai_client(model, call)
        elif kind == "azure":
            client = self._make_azure_client(call)
        elif kind == "handler":
            client = self._make_handler(call)
        if client is None and call.settings.query:
            raise UsageError(
                f"{model} cannot be used with a base URL that has a query; remove everything from the ? on"
            )
        return client

    def take_kept(self) -> httpx.Response | None:
        """The response that was kept from LiteLLM, with its body unread; None if nothing was kept."""
        if self._asked is None:
            return None
        kept, self._asked.kept = self._asked.kept, None
        return kept

    def _make_openai_client(self, model: ModelName, call: ModelCall) -> Any:
        import openai
        from litellm.secret_managers.main import get_secret_str

        settings, name = call.settings, model.provider.upper()
        variable = find_route(model.provider).key_variable or f"{name}_API_KEY"
        key = choose_key(settings) or get_secret_str(variable)
        if not key:
            raise openai.OpenAIError("missing API key")
        base_url = settings.base_url or get_secret_str(f"{name}_BASE_URL") or get_secret_str(f"{name}_API_BASE")
        return openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url or find_provider(model.provider).base_url,
            http_client=self._open_pool(call),
            max_retries=0,
        )

    def _make_azure_client(self, call: ModelCall) -> Any:
        """A client for a key in the header `api-key`, which httpx would send along with redirects.

        None, so that LiteLLM makes its own client, if a token is sent instead.
        """
        import openai
        from litellm.secret_managers.main import get_secret_str

        settings = call.settings
        endpoint = settings.base_url or get_secret_str("AZURE_API_BASE")
        key = choose_key(settings) or get_secret_str("AZURE_API_KEY")
        version = get_secret_str("AZURE_API_VERSION") or self._litellm.AZURE_DEFAULT_API_VERSION
        if endpoint is None or key is None or version in _TOKEN_VERSIONS:
            return None
        return openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint,
            api_key=key,
            api_version=version,
            http_client=self._open_pool(call),
            max_retries=0,
        )

    def _make_handler(self, call: ModelCall) -> Any:
        handler = self._litellm.AsyncHTTPHandler(transport=_NoTransport())
        handler.client = self._open_pool(call)
        return handler

    def _open_pool(self, call: ModelCall) -> OneTryClient:
        settings = call.settings
        key = (settings.proxies, settings.query, settings.time_limits.connect)
        if key not in self._pools:
            from litellm.llms.custom_httpx.http_handler import get_ssl_configuration

            # LiteLLM's TLS settings, whose context it makes once in a process.
            self._pools[key] = open_client(
                OneTryClient, settings, verify=get_ssl_configuration(), connect=settings.time_limits.connect
            )
        return self._pools[key]


class OneTryClient(httpx.AsyncClient):
    """A client whose failures do not make LiteLLM's HTTP handler send a second request.

    `connect` is the maximum number of seconds to connect: LiteLLM reduces an `httpx.Timeout` to its longest part for
    most providers. While it `keeps`, the caller gets a placeholder for each answer, and the answer is `kept`.
    """

    def __init__(self, *, connect: float, **options: Any) -> None:
        super().__init__(**options)
        self.keeps = False
        self.kept: httpx.Response | None = None
        self._connect = connect

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "connect": self._connect}
        try:
            response = await super().send(request, stream=stream or self.keeps, **options)
            if self.keeps and response.is_success:
                self.kept = response
                return httpx.Response(200, json=_STAND_IN, request=request)
            if not stream:
                await response.aread()
            return response
        except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
            # The handler retries on exactly these two.
            raise httpx.NetworkError(str(error), request=error.request) from error


class _NoTransport(httpx.AsyncBaseTransport):
    """For the client that an `AsyncHTTPHandler` creates before it gets ours."""
