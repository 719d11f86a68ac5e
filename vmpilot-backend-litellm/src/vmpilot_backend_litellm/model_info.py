"""Facts about a model from LiteLLM's built-in list, without the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmpilot.contract import ModelInfo, ModelNotFound
from vmpilot.providers import parse_model_name
from vmpilot_backend_litellm.library import import_litellm


def look_up_model(model: str) -> ModelInfo | None:
    """Context window, prices and abilities of `provider/model`; None if the model is not in the list."""
    try:
        name = parse_model_name(model)
    except ModelNotFound:
        return None
    listed = import_litellm().model_cost
    entry = listed.get(str(name)) or listed.get(name.name)
    if entry is None or not entry.get("litellm_provider", "").startswith(name.provider):
        return None
    return _read_entry(entry)


def _read_entry(entry: Mapping[str, Any]) -> ModelInfo:
    # A price of 0.0 can mean an unknown price as well as a free model.
    return ModelInfo(
        context_window=entry.get("max_input_tokens") or entry.get("max_tokens"),
        max_output_tokens=entry.get("max_output_tokens"),
        input_price=entry.get("input_cost_per_token") or None,
        cached_input_price=entry.get("cache_read_input_token_cost") or None,
        output_price=entry.get("output_cost_per_token") or None,
        supports_tools=entry.get("supports_function_calling"),
        supports_images=entry.get("supports_vision"),
    )
