"""Confined commands: a sandbox is found once, tried, and then wraps the planned start of each command."""

from vmpilot.tools.sandbox.bounds import SandboxError, Shortcoming
from vmpilot.tools.sandbox.confinement import Level, Sandbox
from vmpilot.tools.sandbox.search import Attempt, SandboxSearch, find_sandbox, places_of_secrets, search_sandbox

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
