"""Where the model is: its name for the backend and the settings that lead there; starts the local one if need be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from vmpilot.config import Environment, Settings
from vmpilot.contract import ModelError, ModelSettings, Secret
from vmpilot.local_model import CONTEXT_SIZE, LocalModelError, LocalServer, Progress, check_engine, ensure_weights

LOCAL = "local"
"""The model that needs no key: `local`, or `local:/path/to/weights.gguf`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model as the backend is to ask it; `context_window` is in tokens, None where only the backend may know it."""

    model: str
    settings: ModelSettings
    context_window: int | None = None


class ModelDesk:
    """Finds the endpoint once and keeps it; `aclose` ends what was started for it."""

    def __init__(self, settings: Settings, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        self._endpoint: Endpoint | None = None
        self._open = AsyncExitStack()

    async def endpoint(self, backend: str, *, progress: Callable[[Progress], None]) -> Endpoint:
        """The endpoint for a backend. Raises `ModelError` where the local model cannot be started."""
        if self._endpoint is None:
            self._endpoint = await self._prepare(self._settings.model_for(backend), progress)
        return self._endpoint

    async def aclose(self) -> None:
        """End the local model's server; the next `endpoint` starts it anew."""
        await self._open.aclose()
        self._endpoint = None

    async def _prepare(self, model: str, progress: Callable[[Progress], None]) -> Endpoint:
        settings = self._settings
        base_url, api_key, window = settings.base_url, settings.api_key, settings.context_window
        if model.partition(":")[0] == LOCAL:
            server = await self._start_local(model.partition(":")[2], progress)
            model, base_url, api_key = f"openai/{server.model}", server.base_url, Secret(server.api_key)
            window = window or CONTEXT_SIZE
        model_settings = ModelSettings(
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            reasoning_effort=settings.reasoning_effort,
            seed=settings.seed,
            base_url=base_url,
            api_key=api_key,
            time_limits=settings.time_limits,
        )
        return Endpoint(model, model_settings, window)

    async def _start_local(self, path: str, progress: Callable[[Progress], None]) -> LocalServer:
        variables = self._environment.variables
        try:
            check_engine()
            folder = self._environment.cache_folder / "models"
            fetched = None if path else await ensure_weights(folder, progress=progress, environment=variables)
            server = await LocalServer.start(fetched or _file(path), progress=progress, environment=variables)
        except LocalModelError as error:
            raise ModelError(str(error)) from error
        self._open.push_async_callback(server.stop)
        return server


def _file(path: str) -> Path:
    return Path(path).expanduser()
