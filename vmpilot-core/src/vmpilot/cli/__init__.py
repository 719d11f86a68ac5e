"""The command line. Modules that a command needs are imported when it runs, so that `vmpilot --help` is quick."""

from vmpilot.cli._main import main

__all__ = ["main"]
