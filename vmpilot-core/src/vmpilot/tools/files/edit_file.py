"""The tool `edit_file`: replaces pieces of text in many files at once, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpilot.contract import ChangesFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files.calls import PathCalls, PlannedCall
from vmpilot.tools.files.diff import count_changes, unified_diff
from vmpilot.tools.files.drafts import Draft, Edit, apply_edits, read_draft
from vmpilot.tools.files.memory import FileMemory, digest_of
from vmpilot.tools.files.watch import Watch, run_in_thread
from vmpilot.tools.files.writing import Change, HalfDone, commit_changes

_DIFF_CHARACTERS = 4_000
_NOTHING_DONE = "No file was changed."

SPEC = ToolSpec(
    name="edit_file",
    description=(
        "Replace text in files: each edit puts `replace` where `search` stands. `search` is an exact copy of a piece "
        "of the file, best whole lines, long enough to stand there once only. All edits are made, or none if one does "
        "not fit."
    ),
    parameters={
        "type": "object",
        "properties": {
            "edits": {
                "type": "array",
                "minItems": 1,
                "description": "The edits; several of one file are made one after the other.",
                "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string", "minLength": 1, "description": "A file that is there."},
                        "search": {"type": "string", "description": "The text to be replaced, without line numbers."},
                        "replace": {"type": "string", "description": "What is to stand there instead."},
                        "all": {"type": "boolean", "description": "Replace every place; false if left out."},
                    },
                    "required": ["path", "search", "replace"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["edits"],
        "additionalProperties": False,
    },
)


class EditFileTool:
    """Edits files of a workspace, unless they have changed since they were read in this conversation."""

    spec = SPEC

    def __init__(self, workspace: Workspace, memory: FileMemory) -> None:
        self._calls = PathCalls(workspace, memory)

    @property
    def folder(self) -> str:
        return str(self._calls.workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        """The whole diff; the run refuses where the files are not what they were for it.

        Where an edit does not fit, the edits as they are: what the files say is not for the title of a call that may
        be denied.
        """
        call = self._calls.look(arguments, *_paths(arguments))
        call.shown = {}
        names = ", ".join(dict.fromkeys(map(self._calls.show, call.paths)))
        diffs = []
        for edited in _edited_files(arguments, call.paths):
            try:
                draft = self._read(edited.path)
                call.shown[edited.path] = digest_of(draft.content.data)
                apply_edits(draft, edited.edits)
                diffs.append(unified_diff(draft.document, draft.shown))
            except ToolError:
                call.shown.setdefault(edited.path, None)
                diffs.append(_describe(edited, self._calls.show(edited.path)))
        return "\n".join([f"edit {names}", *diffs])

    def effect(self, arguments: Mapping[str, Any]) -> ChangesFiles:
        return ChangesFiles(tuple(dict.fromkeys(self._calls.plan(arguments, *_paths(arguments)).paths)))

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        del use
        call = self._calls.take(arguments, *_paths(arguments))
        try:
            return ToolOutcome(await run_in_thread(lambda watch: self._edit(call, watch)))
        except HalfDone:
            raise
        except ToolError as problem:
            raise ToolError(f"{problem}\n{_NOTHING_DONE}") from problem

    def _edit(self, call: PlannedCall, watch: Watch) -> str:
        drafts, changes = [], []
        for edited in _edited_files(call.arguments, call.paths):
            draft = self._read(edited.path)
            _refuse_unseen(call, draft)
            apply_edits(draft, edited.edits)
            drafts.append(draft)
            changes.append(Change(draft.content, draft.after, draft.shown))
            watch.check()
        commit_changes(changes, watch)
        for change in changes:
            self._calls.memory.note(change.before.path, change.after)
        remarks = {
            path: remark
            for text, path in zip(_paths(call.arguments), call.paths, strict=True)
            if (remark := self._calls.remark(text, path))
        }
        return "\n".join(_report(draft, remarks.get(draft.content.path, "")) for draft in drafts)

    def _read(self, path: Path) -> Draft:
        return read_draft(path, self._calls.show(path), self._calls.memory)


@dataclass(frozen=True, slots=True)
class _EditedFile:
    """A file, under whatever names, with its edits in order."""

    path: Path
    edits: tuple[Edit, ...]


def _paths(arguments: Mapping[str, Any]) -> list[str]:
    return [edit["path"] for edit in arguments["edits"]]


def _edited_files(arguments: Mapping[str, Any], paths: tuple[Path, ...]) -> list[_EditedFile]:
    edits: dict[Path, list[Edit]] = {}
    count = len(paths)
    for number, (path, given) in enumerate(zip(paths, arguments["edits"], strict=True), 1):
        label = f", edit {number} of {count}" if count > 1 else ""
        edits.setdefault(path, []).append(Edit.read(given, label))
    return [_EditedFile(path, tuple(of_file)) for path, of_file in edits.items()]


def _refuse_unseen(call: PlannedCall, draft: Draft) -> None:
    path = draft.content.path
    if call.shown is not None and call.shown.get(path) != digest_of(draft.content.data):
        raise ToolError(f"{draft.shown} has changed since the edit was shown to the user. Read it again.")


def _describe(edited: _EditedFile, shown: str) -> str:
    """Edits that do not fit, as they were given."""
    lines = [f"{shown} (does not fit, nothing will be changed):"]
    for edit in edited.edits:
        lines += (f"- {line}" for line in edit.search.split("\n"))
        lines += (f"+ {line}" for line in edit.replace.split("\n"))
    return "\n".join(lines)


def _report(draft: Draft, remark: str) -> str:
    added, removed = count_changes(draft.document)
    places = f", {draft.places} places" if draft.places > 1 else ""
    remark = f"; {remark}" if remark else ""
    loose = "; found under another indentation, which was kept" if draft.loose else ""
    diff = unified_diff(draft.document, draft.shown)
    if len(diff) > _DIFF_CHARACTERS:
        kept = diff[: diff.rfind("\n", 0, _DIFF_CHARACTERS)]
        diff = f"{kept}\n[… {diff.count(chr(10)) - kept.count(chr(10)):,} more lines of the diff]"
    lines = "1 line" if added == 1 else f"{added:,} lines"
    return f"Edited {draft.shown}: {lines} added, {removed:,} removed{places}{loose}{remark}.\n{diff}"
