"""What the environment says about this backend, by the names that VMPilot has always had."""

from __future__ import annotations

from pathlib import Path

from vmpilot.config import current_environment, load_settings, use_litellm

__all__ = ["get_default_model", "use_litellm"]


def get_default_model() -> str:
    """The model that this backend asks where no option names one: `VMPILOT_LITELLM_MODEL`, or `gpt-4o`.

    Raises `UsageError` for settings that cannot be read.
    """
    return load_settings(current_environment(), folder=Path.cwd(), options={}).settings.model_for("litellm")
