"""A real model that needs no key: weights fetched once and checked, served by llama.cpp on loopback."""

from vmpilot.local_model.errors import LocalModelError
from vmpilot.local_model.progress import Progress
from vmpilot.local_model.server import CONTEXT_SIZE, LocalServer, check_engine
from vmpilot.local_model.source import QWEN_CODER, WeightsSource
from vmpilot.local_model.weights import ensure_weights

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
