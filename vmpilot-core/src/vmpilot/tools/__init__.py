"""The tools that the model can call: each has a specification, an effect and an async run. None knows permissions."""

from vmpilot.tools._command_runner import CommandRunner
from vmpilot.tools._jobs_tool import JobsTool
from vmpilot.tools.shell import ShellTool

__all__ = ["CommandRunner", "JobsTool", "ShellTool"]
