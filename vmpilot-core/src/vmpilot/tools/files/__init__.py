"""The tools for files: read, create, edit, find, search. Paths mean what they meant when the effect was told."""

from __future__ import annotations

from collections.abc import Mapping

from vmpilot.contract import Tool
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files.create_file import CreateFileTool
from vmpilot.tools.files.edit_file import EditFileTool
from vmpilot.tools.files.find_files import FindFilesTool
from vmpilot.tools.files.memory import FileMemory
from vmpilot.tools.files.read_file import ReadFileTool
from vmpilot.tools.files.search_text import SearchTextTool

__all__ = [
    "CreateFileTool",
    "EditFileTool",
    "FileMemory",
    "FindFilesTool",
    "ReadFileTool",
    "SearchTextTool",
    "file_tools",
]


def file_tools(workspace: Workspace, memory: FileMemory, environment: Mapping[str, str]) -> tuple[Tool, ...]:
    """All of them; `memory` is the conversation's, `environment` the one for programs, without secrets."""
    return (
        ReadFileTool(workspace, memory),
        CreateFileTool(workspace, memory),
        EditFileTool(workspace, memory),
        FindFilesTool(workspace),
        SearchTextTool(workspace, environment),
    )
