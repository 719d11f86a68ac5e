"""Confined commands: a sandbox is found and tested once, then wraps the launch of each command."""

from vmpilot.machine.sandbox.confinement import Level, Sandbox
from vmpilot.machine.sandbox.engine import SandboxError, Shortcoming
from vmpilot.machine.sandbox.search import Attempt, SandboxSearch, find_sandbox, places_of_secrets, search_sandbox

__all__ = [
    "Attempt",
    "Level",
    "Sandbox",
    "SandboxError",
    "SandboxSearch",
    "Shortcoming",
    "find_sandbox",
    "places_of_secrets",
    "search_sandbox",
]
