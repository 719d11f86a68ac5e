"""The tool `find_files`: names that fit a glob, in stable order, without what `.gitignore` leaves out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmpilot.contract import ReadsFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import Workspace, opened_folder, show_name
from vmpilot.tools.files.calls import PathCalls
from vmpilot.tools.files.globs import BadGlob, compile_glob
from vmpilot.tools.files.memory import FileMemory
from vmpilot.tools.files.problems import explain_os_errors
from vmpilot.tools.files.walk import Entry, Walk
from vmpilot.tools.files.watch import Watch, run_in_thread

SECONDS = 20.0
SHOWN = 500

SPEC = ToolSpec(
    name="find_files",
    description=(
        "Find files by name below a folder: *.py (at any depth), src/**/*.ts, *.{yml,yaml}; with a / at the end, "
        "folders. Hidden ones count; what .gitignore leaves out does not, nor does .git."
    ),
    parameters={
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "minLength": 1, "description": "The glob."},
            "path": {"type": "string", "minLength": 1, "description": "The folder; the working folder if left out."},
        },
        "required": ["pattern"],
        "additionalProperties": False,
    },
)


class FindFilesTool:
    """Finds files by name in a workspace."""

    spec = SPEC

    def __init__(self, workspace: Workspace) -> None:
        self._calls = PathCalls(workspace, FileMemory())

    @property
    def folder(self) -> str:
        return str(self._calls.workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self._calls.look(arguments, arguments.get("path", ".")).paths
        return f"find {arguments['pattern']} in {self._calls.show(path)}"

    def effect(self, arguments: Mapping[str, Any]) -> ReadsFiles:
        return ReadsFiles(self._calls.plan(arguments, arguments.get("path", ".")).paths, below=True)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        given = arguments.get("path", ".")
        (path,) = self._calls.take(arguments, given).paths
        text = await run_in_thread(lambda watch: self._find(path, arguments["pattern"], watch), seconds=SECONDS)
        use.on_output(f"{text}\n")
        return ToolOutcome(text)

    def _find(self, path: Path, pattern: str, watch: Watch) -> str:
        shown = self._calls.show(path)
        try:
            wanted = _Wanted(pattern)
        except BadGlob as error:
            raise ToolError(f"{pattern} is no pattern: {error}.") from error
        with explain_os_errors(path, shown), opened_folder(path) as folder:
            walk = Walk(folder, path, watch)
            found = _Found(path_prefix(shown))
            for entry in walk:
                if wanted.fits(entry):
                    found.add(entry)
        return "\n".join([*found.lines, found.summary(walk, shown)])


class _Wanted:
    """What a pattern asks for."""

    def __init__(self, pattern: str) -> None:
        self._folders = pattern.endswith("/")
        self._pattern = compile_glob(pattern.rstrip("/") or "*")

    def fits(self, entry: Entry) -> bool:
        """Whether the entry is of the kind, and its path fits."""
        return (entry.kind == "folder") == self._folders and self._pattern.fullmatch(entry.path) is not None


@dataclass(slots=True)
class _Found:
    prefix: str
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, entry: Entry) -> None:
        self.count += 1
        if len(self.lines) < SHOWN:
            mark = {"folder": "/", "link": " (a link)", "special": " (no regular file)"}.get(entry.kind, "")
            self.lines.append(show_name(f"{self.prefix}{entry.path}") + mark)

    def summary(self, walk: Walk, shown: str) -> str:
        said = [f"{self.count:,} found in {shown}" if self.count else f"nothing found in {shown}"]
        if self.count > len(self.lines):
            said[0] += f", the first {len(self.lines)} shown: narrow the pattern or the path"
        if walk.ended_early:
            said.append(f"ended after {SECONDS:g} s, not everything was looked at: give a narrower path")
        said += describe_unreadable(walk.unreadable)
        return f"[{'; '.join(said)}]"


def describe_unreadable(names: list[str]) -> list[str]:
    """A remark on what could not be read, if there is anything."""
    if not names:
        return []
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return [f"not readable: {', '.join(show_name(name) for name in names[:3])}{more}"]


def path_prefix(shown: str) -> str:
    """What stands before the paths in what is found: the folder as the model knows it."""
    return "" if shown == "." else os.path.join(shown, "")  # noqa: PTH118  keeps the / at the end
