"""LiteLLM itself: imported on first use, kept off the network and made quiet.

Every other module of this package gets LiteLLM from here and never by an import of its own.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import ModuleType

from vmpilot.providers import paused_gc

_VARIABLES = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the import fetches a price list over the network
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",  # else the import loads any `.env` above its own folder into the environment
}


def import_litellm() -> ModuleType:
    """LiteLLM, set up for VMPilot. The first call takes seconds of CPU time: make it in a thread.

    Variables that the user has set are left alone.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    # Pydantic says so, once, about a class of LiteLLM's; nobody who uses VMPilot can do anything about it.
    warnings.filterwarnings("ignore", message=".*`ReadOnly` qualifier", category=UserWarning)
    with paused_gc():
        import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.disable_streaming_logging = True
    litellm.turn_off_message_logging = True
    litellm.disable_token_counter = True
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize  # type: ignore[attr-defined]  # the core judges repetitions
    return litellm
