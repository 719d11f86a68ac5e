"""Opens the answer cache that the settings name."""

from __future__ import annotations

from collections.abc import Mapping

from vmpilot.cache import AnswerCache, Origin, TurnCache, open_cache
from vmpilot.config import Environment, Settings
from vmpilot.engine.tool_data import without_boundary
from vmpilot.plugins import Backend


class CacheFactory:
    """Opens the cache for the first turn that may use it; `aclose` closes it."""

    def __init__(self, settings: Settings, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        self._cache: AnswerCache | None = None

    def for_turn(self, backend: Backend, *, stand_ins: Mapping[str, str]) -> TurnCache | None:
        """The cache for one turn on this backend, None if it uses none; for `stand_ins` see `Origin`.

        Raises `UsageError` for a Redis whose client library is not installed.
        """
        settings, environment = self._settings, self._environment
        if self._cache is None and self._caches:
            folder, megabytes = environment.answers_folder, settings.cache_megabytes
            self._cache = open_cache(settings.cache, folder=folder, megabytes=megabytes)
        if self._cache is None:
            return None
        info = backend.info
        return TurnCache(
            self._cache,
            Origin(f"{info.name} {info.version}", settings.tool_mode, environment.variables, stand_ins),
            any_temperature=settings.cache_any_temperature,
            comparable=without_boundary,
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence for the user if the temperature rules the cache out."""
        if self._settings.cache.kind == "off" or self._caches:
            return ()
        return (
            "The cache is not used, because the temperature is not 0. Add -t 0, "
            "or set cache_any_temperature = true in your configuration file.",
        )

    async def aclose(self) -> None:
        """Close the cache; the next turn reopens it."""
        if self._cache is not None:
            await self._cache.close()
            self._cache = None

    @property
    def _caches(self) -> bool:
        settings = self._settings
        return settings.cache.kind != "off" and (settings.temperature == 0 or settings.cache_any_temperature)
