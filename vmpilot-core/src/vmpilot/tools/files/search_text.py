"""The tool `search_text`: lines that match a regular expression, file by file, in stable order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmpilot.contract import ReadsFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files.calls import PathCalls
from vmpilot.tools.files.engines import Query
from vmpilot.tools.files.globs import BadGlob, compile_glob
from vmpilot.tools.files.memory import FileMemory
from vmpilot.tools.files.problems import explain_os_errors
from vmpilot.tools.files.searching import SECONDS, Search, Searcher
from vmpilot.tools.files.shown_matches import show_matches
from vmpilot.tools.files.watch import run_in_thread

SPEC = ToolSpec(
    name="search_text",
    description=(
        "Search files below a folder (or one file) for a regular expression, line by line: no look-around, no "
        "references back. Hidden files count; binary ones, .git and what .gitignore leaves out do not."
    ),
    parameters={
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "minLength": 1, "description": "The regular expression."},
            "path": {"type": "string", "minLength": 1, "description": "Where; the working folder if left out."},
            "glob": {"type": "string", "minLength": 1, "description": "Only files of this name: *.py, src/**/*.ts."},
            "ignore_case": {"type": "boolean", "description": "Capital letters do not matter; false if left out."},
        },
        "required": ["pattern"],
        "additionalProperties": False,
    },
)


class SearchTextTool:
    """Searches files of a workspace; `environment` is a whole one for programs, without secrets."""

    spec = SPEC

    def __init__(self, workspace: Workspace, environment: Mapping[str, str], *, seconds: float = SECONDS) -> None:
        self._calls = PathCalls(workspace, FileMemory())
        self._searcher = Searcher(environment, root=workspace.root, seconds=seconds)
        self._seconds = seconds

    @property
    def folder(self) -> str:
        return str(self._calls.workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self._calls.look(arguments, arguments.get("path", ".")).paths
        glob = f", files {arguments['glob']}" if "glob" in arguments else ""
        case = ", ignoring case" if arguments.get("ignore_case") else ""
        return f"search {arguments['pattern']} in {self._calls.show(path)}{glob}{case}"

    def effect(self, arguments: Mapping[str, Any]) -> ReadsFiles:
        (path,) = self._calls.plan(arguments, arguments.get("path", ".")).paths
        return ReadsFiles((path,), below=not path.is_file())

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        (path,) = self._calls.take(arguments, arguments.get("path", ".")).paths
        shown = self._calls.show(path)
        query = Query(arguments["pattern"], arguments.get("glob"), bool(arguments.get("ignore_case")))
        try:
            wanted = None if query.glob is None else compile_glob(query.glob)
        except BadGlob as error:
            raise ToolError(f"{query.glob} is no pattern for names: {error}.") from error
        with explain_os_errors(path, shown):
            found = await self._searcher.search(Search(path, query, wanted))
            text = await run_in_thread(lambda _watch: show_matches(path, shown, found, seconds=self._seconds))
        use.on_output(f"{text}\n")
        return ToolOutcome(text)
