"""The file tools: read, create, edit, find, search. They use exactly the paths for which permission was decided."""

from __future__ import annotations

from collections.abc import Mapping

from vmpilot.contract import Tool
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files._content import FileMemory
from vmpilot.tools.files._create_file import CreateFileTool
from vmpilot.tools.files._edit_file import EditFileTool
from vmpilot.tools.files._find_files import FindFilesTool
from vmpilot.tools.files._read_file import ReadFileTool
from vmpilot.tools.files._search_text import SearchTextTool

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
    """All file tools; `memory` is the conversation's, `environment` is for programs, without secrets."""
    return (
        ReadFileTool(workspace, memory),
        CreateFileTool(workspace, memory),
        EditFileTool(workspace, memory),
        FindFilesTool(workspace),
        SearchTextTool(workspace, environment),
    )
