"""Finds, chooses, loads and checks backends and tool plugins."""

from vmpilot.plugins._backend import Backend
from vmpilot.plugins._choice import SHIPPED, BackendChoice, choose_backend
from vmpilot.plugins._describing import DescribedBackend, describe_backends
from vmpilot.plugins._installed import InstalledBackend, InstalledPlugin, installed_backends, installed_tool_plugins
from vmpilot.plugins._loading import load_backend, wrap_backend
from vmpilot.plugins._tools import LoadedTools, load_tool_plugins

__all__ = [
    "SHIPPED",
    "Backend",
    "BackendChoice",
    "DescribedBackend",
    "InstalledBackend",
    "InstalledPlugin",
    "LoadedTools",
    "choose_backend",
    "describe_backends",
    "installed_backends",
    "installed_tool_plugins",
    "load_backend",
    "load_tool_plugins",
    "wrap_backend",
]
