"""The tools: each a specification and an async call. None knows permissions."""

from vmpilot.tools.executor import Executor
from vmpilot.tools.jobs_tool import JobsTool
from vmpilot.tools.shell import ShellTool

__all__ = ["Executor", "JobsTool", "ShellTool"]
