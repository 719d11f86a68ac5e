"""The tools: each a specification and an async call. None knows permissions."""

from vmpilot.tools._command_runner import CommandRunner
from vmpilot.tools.jobs_tool import JobsTool
from vmpilot.tools.shell import ShellTool

__all__ = ["CommandRunner", "JobsTool", "ShellTool"]
