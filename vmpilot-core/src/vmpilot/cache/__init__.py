"""Cached model answers for repeated requests: on this machine's disk, or in a Redis that servers share.

Independent of the engine and the settings.
"""

from vmpilot.cache._answer_cache import AnswerCache, CacheError, CacheStats
from vmpilot.cache._key import Origin
from vmpilot.cache._opening import open_cache
from vmpilot.cache._turn_cache import TurnCache

__all__ = [
    "AnswerCache",
    "CacheError",
    "CacheStats",
    "Origin",
    "TurnCache",
    "open_cache",
]
