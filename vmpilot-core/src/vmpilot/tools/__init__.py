"""The tools that the model can call, each with a specification, an effect and an async run, but no permissions."""

from vmpilot.tools._command_runner import CommandRunner
from vmpilot.tools._jobs_tool import JobsTool
from vmpilot.tools.shell import ShellTool

__all__ = ["CommandRunner", "JobsTool", "ShellTool"]
