"""The fixtures of the tests of processes, for the tools that run commands."""

from tests.core.machine.conftest import mark, run, supervisor, survivors

__all__ = ["mark", "run", "supervisor", "survivors"]
