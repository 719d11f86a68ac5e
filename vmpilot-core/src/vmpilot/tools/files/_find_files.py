"""The tool `find_files`: names that match a glob, in stable order, without files excluded by ignore files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmpilot.contract import ReadsFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import opened_folder, show_name
from vmpilot.tools.files._errors import explain_os_errors
from vmpilot.tools.files._globs import BadGlob, compile_glob
from vmpilot.tools.files._paths import FileTool
from vmpilot.tools.files._threads import Watch, run_in_thread
from vmpilot.tools.files._walk import Walk

_SECONDS = 20.0
_SHOWN = 500
_MARKS = {"folder": "/", "link": " (link)", "special": " (special file)", "file": ""}


class FindFilesTool(FileTool):
    """Finds files by name in a workspace."""

    spec = ToolSpec(
        name="find_files",
        description=(
            "Find files below a folder by name: *.py (at any depth), src/**/*.ts, *.{yml,yaml}; end the pattern with / "
            "to find folders. Includes hidden files; skips .git and files excluded by .gitignore."
        ),
        parameters={
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "minLength": 1, "description": "The glob."},
                "path": {"type": "string", "minLength": 1, "description": "The folder; default: the working folder."},
            },
            "required": ["pattern"],
            "additionalProperties": False,
        },
    )

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self.look(arguments, arguments.get("path", ".")).paths
        return f"find {arguments['pattern']} in {self.show(path)}"

    def effect(self, arguments: Mapping[str, Any]) -> ReadsFiles:
        return ReadsFiles(self.plan(arguments, arguments.get("path", ".")).paths, below=True)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        (path,) = self.take(arguments, arguments.get("path", ".")).paths
        text = await run_in_thread(lambda watch: self._find(path, arguments["pattern"], watch), seconds=_SECONDS)
        use.on_output(f"{text}\n")
        return ToolOutcome(text)

    def _find(self, path: Path, pattern: str, watch: Watch) -> str:
        shown, lines, count = self.show(path), list[str](), 0
        wants_folders, prefix = pattern.endswith("/"), path_prefix(shown)
        try:
            wanted = compile_glob(pattern.rstrip("/") or "*")
        except BadGlob as error:
            raise ToolError(f"Invalid glob {pattern}: {error}.") from error
        with explain_os_errors(path, shown), opened_folder(path) as folder:
            walk = Walk(folder, path, watch)
            for entry in walk:
                if (entry.kind == "folder") == wants_folders and wanted.fullmatch(entry.path):
                    count += 1
                    if count <= _SHOWN:
                        lines.append(show_name(f"{prefix}{entry.path}") + _MARKS[entry.kind])
        facts = [f"{count:,} found in {shown}" if count else f"nothing found in {shown}"]
        if count > _SHOWN:
            facts[0] += f", the first {_SHOWN} shown: narrow the pattern or path"
        if walk.ended_early:
            facts.append(f"stopped after {_SECONDS:g} s, not everything was searched: narrow the path")
        return "\n".join([*lines, f"[{'; '.join(facts + describe_unreadable(walk.unreadable))}]"])


def describe_unreadable(names: list[str]) -> list[str]:
    """A remark about unreadable entries, if any."""
    if not names:
        return []
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return [f"not readable: {', '.join(show_name(name) for name in names[:3])}{more}"]


def path_prefix(shown: str) -> str:
    """The prefix of the paths in the results: the folder as the model knows it."""
    return "" if shown == "." else os.path.join(shown, "")  # noqa: PTH118  keeps the / at the end
