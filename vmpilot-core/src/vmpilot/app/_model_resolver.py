"""Resolves models to endpoints: the name for the backend and the settings to reach it. Starts the local model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from vmpilot.app._memory import is_local
from vmpilot.config import Environment, Settings
from vmpilot.contract import ModelError, ModelSettings, Proxies, Secret, read_proxies
from vmpilot.engine import Endpoint, Fallback, FallbackChain
from vmpilot.local_model import CONTEXT_SIZE, LocalModelError, LocalServer, Progress, check_engine, ensure_weights

TOOLS_FOR_LOCAL = ("shell",)
"""Tools for the local model unless the setting `tools` names others: each costs it seconds and attention."""

TEMPERATURE_FOR_LOCAL = 0.0
"""For the local model unless it is set: a small model answers best with its likeliest words."""


class ModelResolver:
    """Resolves each model once; `aclose` stops the servers that were started."""

    def __init__(self, settings: Settings, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        self._endpoints: dict[tuple[str, bool], Endpoint] = {}
        self._preparing = asyncio.Lock()
        self._open = AsyncExitStack()
        self._stand_ins: dict[str, str] = {}

    @property
    def stand_ins(self) -> Mapping[str, str]:
        """The models of the servers started here, whose addresses change: `{base_url: model}`."""
        return self._stand_ins

    async def chain(
        self, backend: str, *, settings: Settings | None = None, progress: Callable[[Progress], None]
    ) -> FallbackChain:
        """The models for one turn on a backend; `settings` are those of the conversation.

        Fallbacks are resolved when they are needed. Raises `ModelError` if the local model is the only one and cannot
        be started.
        """
        settings = settings or self._settings
        models = dict.fromkeys((settings.model_for(backend), *settings.fallback))
        choices = [Fallback(model, partial(self._endpoint, model, settings, progress)) for model in models]
        return await FallbackChain.open(choices, tool_mode=settings.tool_mode)

    async def aclose(self) -> None:
        """Stop the local model's server; the next `chain` restarts it."""
        await self._open.aclose()
        self._endpoints.clear()
        self._stand_ins.clear()

    async def _endpoint(self, model: str, settings: Settings, progress: Callable[[Progress], None]) -> Endpoint:
        """Resolved once per model and key; other settings do not differ between conversations."""
        known_by = (model, settings.api_key is not None)
        async with self._preparing:
            if known_by not in self._endpoints:
                self._endpoints[known_by] = await self._prepare(model, settings, progress)
            return self._endpoints[known_by]

    async def _prepare(self, model: str, settings: Settings, progress: Callable[[Progress], None]) -> Endpoint:
        address, _, query = (settings.base_url or "").partition("?")
        base_url, api_key, window = address or None, settings.api_key, settings.context_window
        proxies = read_proxies(self._environment.variables)
        temperature = settings.temperature
        if is_local(model):
            server = await self._start_local(model.partition(":")[2], progress)
            self._stand_ins[server.base_url] = _identify(model)
            model, base_url, api_key = f"openai/{server.model}", server.base_url, Secret(server.api_key)
            query, proxies = "", Proxies()
            window = window or CONTEXT_SIZE
            temperature = TEMPERATURE_FOR_LOCAL if temperature is None else temperature
        model_settings = ModelSettings(
            temperature=temperature,
            max_tokens=settings.max_tokens,
            reasoning_effort=settings.reasoning_effort,
            seed=settings.seed,
            base_url=base_url,
            query=query,
            proxies=proxies,
            api_key=api_key,
            time_limits=settings.time_limits,
            streaming=settings.streaming,
        )
        free = base_url in self._stand_ins
        tools = TOOLS_FOR_LOCAL if free and settings.tools is None else None
        return Endpoint(model, model_settings, window, free=free, tools=tools)

    async def _start_local(self, path: str, progress: Callable[[Progress], None]) -> LocalServer:
        variables = self._environment.variables
        try:
            check_engine()
            folder = self._environment.cache_folder / "models"
            weights = _file(path)
            if not path:
                find_proxy = read_proxies(variables).find
                weights = await ensure_weights(folder, progress=progress, environment=variables, find_proxy=find_proxy)
            server = await LocalServer.start(weights, progress=progress, environment=variables)
        except LocalModelError as error:
            raise ModelError(str(error)) from error
        self._open.push_async_callback(server.stop)
        return server


def _identify(model: str) -> str:
    """A name for a local model that changes with its file; the weights of `local` never change."""
    path = model.partition(":")[2]
    if not path:
        return model
    file = _file(path).resolve()
    facts = file.stat()
    return f"{file} {facts.st_size} {facts.st_mtime_ns}"


def _file(path: str) -> Path:
    return Path(path).expanduser()
