"""The tools: each a specification and an async call. None knows permissions."""

from vmpilot.tools.shell import ShellTool
from vmpilot.tools.tool import Tool, ToolOutcome, ToolProblem

__all__ = ["ShellTool", "Tool", "ToolOutcome", "ToolProblem"]
