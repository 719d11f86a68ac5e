"""Imports LiteLLM on first use, keeps it off the network and makes it quiet.

Every other module of this package gets LiteLLM from here instead of importing it.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import ModuleType

from vmpilot.providers import paused_gc

_VARIABLES = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise the import downloads a price list
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",  # otherwise the import loads any `.env` above its own folder into the environment
}


def import_litellm() -> ModuleType:
    """LiteLLM, configured for VMPilot. The first call takes seconds of CPU time: make it in a thread.

    Variables that the user has set are not changed.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    # A warning of Pydantic about a class of LiteLLM, which the user cannot fix.
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
