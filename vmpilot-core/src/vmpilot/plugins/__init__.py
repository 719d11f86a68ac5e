"""Backends as plugins: which are installed, which one is chosen, and the chosen one behind a typed face."""

from vmpilot.plugins.backend import Backend
from vmpilot.plugins.choice import BackendChoice, choose_backend
from vmpilot.plugins.installed import InstalledBackend, installed_backends
from vmpilot.plugins.loading import load_backend

__all__ = ["Backend", "BackendChoice", "InstalledBackend", "choose_backend", "installed_backends", "load_backend"]
