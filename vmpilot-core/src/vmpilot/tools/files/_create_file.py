"""The tool `create_file`: creates a new file, completely or not at all, and never overwrites one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmpilot.contract import ChangesFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.tools.files._errors import explain_os_errors, reject_masks
from vmpilot.tools.files._paths import FileTool
from vmpilot.tools.files._threads import Watch, run_in_thread
from vmpilot.tools.files._writing import write_new


class CreateFileTool(FileTool):
    """Creates files in a workspace and remembers what was written."""

    spec = ToolSpec(
        name="create_file",
        description="Create a new text file (UTF-8) and its folders. Never overwrites: change files with edit_file.",
        parameters={
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1, "description": "The file, relative to the working folder."},
                "content": {"type": "string", "description": "The complete content."},
            },
            "required": ["path", "content"],
            "additionalProperties": False,
        },
    )

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self.look(arguments, arguments["path"]).paths
        lines = arguments["content"].removesuffix("\n").split("\n") if arguments["content"] else []
        return "\n".join([f"create {self.show(path)}", *(f"+{line}" for line in lines)])

    def effect(self, arguments: Mapping[str, Any]) -> ChangesFiles:
        return ChangesFiles(self.plan(arguments, arguments["path"]).paths)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002  no live output
        (path,) = self.take(arguments, arguments["path"]).paths
        content: str = arguments["content"]
        reject_masks(content, present="", shown=self.show(path))
        substitution = self.describe_substitution(arguments["path"], path)
        remark = f" ({substitution})" if substitution else ""
        return ToolOutcome(await run_in_thread(lambda watch: self._create(path, content, remark, watch)))

    def _create(self, path: Path, content: str, remark: str, watch: Watch) -> str:
        shown, data = self.show(path), content.encode()
        try:
            with explain_os_errors(path, shown):
                made = write_new(path, data, watch)
        except ToolError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise ToolError(
                    f"{shown} already exists{remark} and was not overwritten. Change it with edit_file, or choose "
                    f"another path."
                ) from error
            raise
        self.memory.note(path, data)
        folders = f" New folders: {', '.join(f'{self.show(folder)}/' for folder in made)}." if made else ""
        lines = content.count("\n") + bool(content and not content.endswith("\n"))
        return f"Created {shown}: {lines} line{'' if lines == 1 else 's'}, {len(data):,} bytes{remark}.{folders}"
