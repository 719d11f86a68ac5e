"""The tools: each a specification and an async call. None knows permissions."""

from vmpilot.tools.shell import ShellTool

__all__ = ["ShellTool"]
