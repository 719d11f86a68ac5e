"""The tool `search_text`: lines that match a regular expression, file by file, in stable order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from vmpilot.contract import ReadsFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import Workspace, open_below, opened_folder, show_name
from vmpilot.tools.files._errors import explain_os_errors
from vmpilot.tools.files._find_files import describe_unreadable, path_prefix
from vmpilot.tools.files._globs import BadGlob, compile_glob
from vmpilot.tools.files._paths import FileTool
from vmpilot.tools.files._ripgrep import COUNTED, Match, Query, SearchResult, find_ripgrep, search
from vmpilot.tools.files._text import show_line
from vmpilot.tools.files._threads import run_in_thread

SECONDS = 20.0
CHARACTERS = 30_000
_LINE = 300
_BEFORE = 100

_SPEC = ToolSpec(
    name="search_text",
    description=(
        "Search the files below a folder, or one file, for a regular expression, line by line (no look-around, no "
        "backreferences). Searches hidden files; skips binary files, .git and files excluded by .gitignore."
    ),
    parameters={
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "minLength": 1, "description": "Regular expression."},
            "path": {"type": "string", "minLength": 1, "description": "Folder or file; default: the working folder."},
            "glob": {"type": "string", "minLength": 1, "description": "Only these files: *.py, src/**/*.ts."},
            "ignore_case": {"type": "boolean", "description": "Ignore case; default: false."},
        },
        "required": ["pattern"],
        "additionalProperties": False,
    },
)


class SearchTextTool(FileTool):
    """Searches files of a workspace. `environment` is ripgrep's complete environment, without secrets; `ripgrep` is the
    program to run (None: find it).
    """

    spec = _SPEC

    def __init__(
        self,
        workspace: Workspace,
        environment: Mapping[str, str],
        *,
        seconds: float = SECONDS,
        ripgrep: Path | None = None,
    ) -> None:
        super().__init__(workspace)
        self._environment = environment
        self._seconds = seconds
        self._ripgrep = ripgrep

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self.look(arguments, arguments.get("path", ".")).paths
        glob = f", files {arguments['glob']}" if "glob" in arguments else ""
        case = ", ignoring case" if arguments.get("ignore_case") else ""
        return f"search {arguments['pattern']} in {self.show(path)}{glob}{case}"

    def effect(self, arguments: Mapping[str, Any]) -> ReadsFiles:
        (path,) = self.plan(arguments, arguments.get("path", ".")).paths
        return ReadsFiles((path,), below=not path.is_file())

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        (path,) = self.take(arguments, arguments.get("path", ".")).paths
        shown = self.show(path)
        query = Query(arguments["pattern"], arguments.get("glob"), bool(arguments.get("ignore_case")))
        try:
            wanted = None if query.glob is None else compile_glob(query.glob)
        except BadGlob as error:
            raise ToolError(f"Invalid glob {query.glob}: {error}.") from error
        program = self._ripgrep or find_ripgrep(self._environment, apart_from=self.workspace.root)
        with explain_os_errors(path, shown):
            found = await search(program, path, query, wanted, environment=self._environment, seconds=self._seconds)
            text = await run_in_thread(lambda _watch: self._show(path, shown, found))
        use.on_output(f"{text}\n")
        return ToolOutcome(text)

    def _show(self, path: Path, shown: str, found: SearchResult) -> str:
        """The matching lines by file, with their numbers, and a summary. Raises OSError for the path."""
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
        prefix = path_prefix(shown) if is_folder else shown.removesuffix(show_name(path.name))
        lines, matches, room = list[str](), 0, CHARACTERS
        with opened_folder(path if is_folder else path.parent) as folder:
            for line, is_match in _show_files(folder, prefix, found.matches):
                room -= len(line)
                if room < 0:
                    break
                lines.append(line)
                matches += is_match
        return "\n".join([*lines, self._summary(found, shown, matches)])

    def _summary(self, found: SearchResult, shown: str, matches: int) -> str:
        lines = "1 line" if found.count == 1 else f"{found.count:,} lines"
        files = "1 file" if found.files == 1 else f"{found.files:,} files"
        said = [f"no matches in {shown}"] if not found.count else [f"{lines} in {files}"]
        if found.is_full:
            said = [f"more than {COUNTED:,} lines"]
        if found.count > matches:
            said[0] += f", the first {matches} shown: narrow the pattern, path or glob"
        if found.timed_out:
            said.append(f"stopped after {self._seconds:g} s, not all was searched: narrow the path or glob")
        return f"[{'; '.join(said + describe_unreadable(found.unreadable))}]"


def _show_files(folder: int, prefix: str, matches: Sequence[Match]) -> Iterator[tuple[str, bool]]:
    """Each file's name, and its matching lines.

    The lines are read again, without following links, so that only allowed content is shown, regardless of the files
    that ripgrep opened.
    """
    for path, of_file in groupby(matches, key=lambda match: match.path):
        try:
            descriptor, _ = open_below(folder, path)
        except OSError:
            continue
        try:
            yield show_name(f"{prefix}{path}"), False
            for match in of_file:
                yield _show_line(descriptor, match), True
        finally:
            os.close(descriptor)


def _show_line(descriptor: int, match: Match) -> str:
    """The line; of a long one, the part around the match."""
    skipped = match.column - 1 - _BEFORE if match.column > _LINE else 0
    data = os.pread(descriptor, 4 * _LINE + 1, match.offset + skipped)
    if match.offset and os.pread(descriptor, 1, match.offset - 1) != b"\n":
        return f"{match.line:>5}\t(the file has changed since)"
    line, end, _ = data.partition(b"\n")
    while skipped and line and line[0] & 0xC0 == 0x80:  # not in the middle of a character
        line = line[1:]
    text = line.removesuffix(b"\r").decode(errors="surrogateescape")
    more = "…" if len(text) > _LINE or (not end and len(data) > 4 * _LINE) else ""
    return f"{match.line:>5}\t{'…' if skipped else ''}{show_line(text[:_LINE])}{more}"
