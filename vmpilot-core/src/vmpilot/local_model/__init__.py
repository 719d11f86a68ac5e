"""A real model that needs no key: weights downloaded once and checked, served by llama.cpp on loopback."""

from vmpilot.local_model._server import CONTEXT_SIZE, LocalServer, check_engine
from vmpilot.local_model._values import QWEN_CODER, LocalModelError, Progress, WeightsSource
from vmpilot.local_model._weights import ensure_weights

__all__ = [
    "CONTEXT_SIZE",
    "QWEN_CODER",
    "LocalModelError",
    "LocalServer",
    "Progress",
    "WeightsSource",
    "check_engine",
    "ensure_weights",
]
