"""The core's shell tool in LiteLLM's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmpilot.config import current_environment
from vmpilot.contract import ToolUse
from vmpilot.machine.secrets.shell_environment import child_environment
from vmpilot.machine.workspace import Workspace
from vmpilot.providers import chat_tool
from vmpilot.tools.shell import BARE_SHELL_SPEC, DEFAULT_TIMEOUT, ShellTool

SHELL_TOOL: dict[str, Any] = chat_tool(BARE_SHELL_SPEC)
"""For the `tools` of a request."""


async def execute_shell_tool(command: str, *, timeout: float = DEFAULT_TIMEOUT, folder: Path | str = ".") -> str:
    """Run a command line in `folder` and return its output, with the exit status in the last line.

    This is the bare tool, without permission checks. `timeout` is in seconds.
    """
    tool = ShellTool(Workspace.at(Path(folder)), child_environment(current_environment().variables))
    outcome = await tool.run({"command": command, "timeout": timeout}, ToolUse(lambda _output: None))
    return outcome.text
