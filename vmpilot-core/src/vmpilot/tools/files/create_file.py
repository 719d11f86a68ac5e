"""The tool `create_file`: makes a new file, whole or not at all, and never over another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmpilot.contract import ChangesFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files.calls import PathCalls
from vmpilot.tools.files.memory import FileMemory
from vmpilot.tools.files.problems import explain_os_errors
from vmpilot.tools.files.secrecy import reject_masks
from vmpilot.tools.files.watch import Watch, run_in_thread
from vmpilot.tools.files.writing import write_new

SPEC = ToolSpec(
    name="create_file",
    description=(
        "Make a new text file (UTF-8), with the folders that it needs. It never overwrites: edit_file changes files."
    ),
    parameters={
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "The file; relative to the working folder."},
            "content": {"type": "string", "description": "The whole content."},
        },
        "required": ["path", "content"],
        "additionalProperties": False,
    },
)


class CreateFileTool:
    """Makes files in a workspace; what was written is noted in the memory."""

    spec = SPEC

    def __init__(self, workspace: Workspace, memory: FileMemory) -> None:
        self._calls = PathCalls(workspace, memory)

    @property
    def folder(self) -> str:
        return str(self._calls.workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self._calls.look(arguments, arguments["path"]).paths
        lines = arguments["content"].removesuffix("\n").split("\n") if arguments["content"] else []
        return "\n".join([f"create {self._calls.show(path)}", *(f"+{line}" for line in lines)])

    def effect(self, arguments: Mapping[str, Any]) -> ChangesFiles:
        return ChangesFiles(self._calls.plan(arguments, arguments["path"]).paths)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        del use
        (path,) = self._calls.take(arguments, arguments["path"]).paths
        content: str = arguments["content"]
        reject_masks(content, present="", shown=self._calls.show(path))
        remark = self._calls.remark(arguments["path"], path)
        return ToolOutcome(await run_in_thread(lambda watch: self._create(path, content, remark, watch)))

    def _create(self, path: Path, content: str, remark: str, watch: Watch) -> str:
        shown, data = self._calls.show(path), content.encode()
        remark = f" ({remark})" if remark else ""
        try:
            with explain_os_errors(path, shown):
                made = write_new(path, data, watch)
        except ToolError as problem:
            if isinstance(problem.__cause__, FileExistsError):
                raise ToolError(
                    f"{shown} already exists{remark}, and nothing is overwritten. Change it with edit_file, or give "
                    f"another path."
                ) from problem
            raise
        self._calls.memory.note(path, data)
        folders = f" Made for it: {', '.join(f'{self._calls.show(folder)}/' for folder in made)}." if made else ""
        lines = content.count("\n") + bool(content and not content.endswith("\n"))
        return f"Made {shown}: {lines} line{'' if lines == 1 else 's'}, {len(data):,} bytes{remark}.{folders}"
