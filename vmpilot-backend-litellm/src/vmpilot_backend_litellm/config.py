"""This backend's settings from the environment, under their long-standing names."""

from __future__ import annotations

from pathlib import Path

from vmpilot.config import current_environment, load_settings, use_litellm

__all__ = ["get_default_model", "use_litellm"]


def get_default_model() -> str:
    """This backend's default model: `VMPILOT_LITELLM_MODEL`, or `gpt-4o`.

    Raises `UsageError` for invalid settings.
    """
    return load_settings(current_environment(), folder=Path.cwd(), options={}).settings.model_for("litellm")
