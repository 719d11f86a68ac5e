"""Settings from files, environment and command line; the only package that reads the environment."""

from vmpilot.config.environment import Environment, current_environment, use_litellm
from vmpilot.config.settings import Settings, Sourced
from vmpilot.config.sources import load_settings

__all__ = ["Environment", "Settings", "Sourced", "current_environment", "load_settings", "use_litellm"]
