"""Answers of models, kept for requests that are made again: on this machine's disk, or in a Redis that servers share.

It knows neither the agent nor the settings.
"""

from vmpilot.cache.answer_cache import AnswerCache, CacheError, CacheStats
from vmpilot.cache.key import Origin
from vmpilot.cache.opening import open_cache
from vmpilot.cache.turn_cache import TurnCache

__all__ = [
    "AnswerCache",
    "CacheError",
    "CacheStats",
    "Origin",
    "TurnCache",
    "open_cache",
]
