"""The tool `edit_file`: replaces text in many files at once, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmpilot.contract import ChangesFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.tools.files._content import digest_of
from vmpilot.tools.files._document import count_changes, unified_diff
from vmpilot.tools.files._drafts import Draft, Edit, apply_edits, read_draft
from vmpilot.tools.files._paths import FileTool, PlannedCall
from vmpilot.tools.files._threads import Watch, run_in_thread
from vmpilot.tools.files._writing import Change, PartialChange, commit_changes

_DIFF_CHARACTERS = 4_000


class EditFileTool(FileTool):
    """Edits files of a workspace, unless they have changed since they were read in this conversation."""

    spec = ToolSpec(
        name="edit_file",
        description=(
            "Replace text in files: each edit replaces `search` with `replace`. `search` is an exact copy of text in "
            "the file, preferably complete lines, long enough to be unique. If one edit does not match, none is made."
        ),
        parameters={
            "type": "object",
            "properties": {
                "edits": {
                    "type": "array",
                    "minItems": 1,
                    "description": "The edits; several of one file are made in order.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "path": {"type": "string", "minLength": 1, "description": "An existing file."},
                            "search": {"type": "string", "description": "The text to replace, without line numbers."},
                            "replace": {"type": "string", "description": "The new text."},
                            "all": {"type": "boolean", "description": "Replace every match; default: false."},
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

    def title(self, arguments: Mapping[str, Any]) -> str:
        """The complete diff; the run fails if the files have changed since.

        If an edit does not match: the edits as given. A call that may be denied must not show the file's content.
        """
        call = self.look(arguments, *_paths(arguments))
        call.shown = {}
        diffs = []
        for path, edits in _edits_by_file(call).items():
            try:
                draft = read_draft(path, self.show(path), self.memory)
                call.shown[path] = digest_of(draft.content.data)
                apply_edits(draft, edits)
                diffs.append(unified_diff(draft.document, draft.shown))
            except ToolError:
                call.shown.setdefault(path, None)
                lines = [f"{self.show(path)} (does not match, nothing will be changed):"]
                for edit in edits:
                    lines += (f"- {line}" for line in edit.search.split("\n"))
                    lines += (f"+ {line}" for line in edit.replace.split("\n"))
                diffs.append("\n".join(lines))
        names = ", ".join(dict.fromkeys(map(self.show, call.paths)))
        return "\n".join([f"edit {names}", *diffs])

    def effect(self, arguments: Mapping[str, Any]) -> ChangesFiles:
        return ChangesFiles(tuple(dict.fromkeys(self.plan(arguments, *_paths(arguments)).paths)))

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002  no live output
        call = self.take(arguments, *_paths(arguments))
        try:
            return ToolOutcome(await run_in_thread(lambda watch: self._edit(call, watch)))
        except PartialChange:
            raise
        except ToolError as error:
            raise ToolError(f"{error}\nNo file was changed.") from error

    def _edit(self, call: PlannedCall, watch: Watch) -> str:
        drafts, changes = [], []
        for path, edits in _edits_by_file(call).items():
            draft = read_draft(path, self.show(path), self.memory)
            if call.shown is not None and call.shown.get(path) != digest_of(draft.content.data):
                raise ToolError(f"{draft.shown} has changed since the edit was shown to the user. Read it again.")
            apply_edits(draft, edits)
            drafts.append(draft)
            changes.append(Change(draft.content, draft.after, draft.shown))
            watch.check()
        commit_changes(changes, watch)
        for change in changes:
            self.memory.note(change.before.path, change.after)
        substitutions = {
            path: substitution
            for text, path in zip(_paths(call.arguments), call.paths, strict=True)
            if (substitution := self.describe_substitution(text, path))
        }
        return "\n".join(_report(draft, substitutions.get(draft.content.path)) for draft in drafts)


def _paths(arguments: Mapping[str, Any]) -> list[str]:
    return [edit["path"] for edit in arguments["edits"]]


def _edits_by_file(call: PlannedCall) -> dict[Path, list[Edit]]:
    """The edits of each file in order, whatever names the call uses for it."""
    edits: dict[Path, list[Edit]] = {}
    count = len(call.paths)
    for number, (path, given) in enumerate(zip(call.paths, call.arguments["edits"], strict=True), 1):
        search, replace = (given[name].replace("\r\n", "\n") for name in ("search", "replace"))
        label = f", edit {number} of {count}" if count > 1 else ""
        edits.setdefault(path, []).append(Edit(search, replace, bool(given.get("all", False)), label))
    return edits


def _report(draft: Draft, substitution: str | None) -> str:
    added, removed = count_changes(draft.document)
    places = f", {draft.places} places" if draft.places > 1 else ""
    loose = "; found with different indentation, which was kept" if draft.loose else ""
    remark = f"; {substitution}" if substitution else ""
    diff = unified_diff(draft.document, draft.shown)
    if len(diff) > _DIFF_CHARACTERS:
        kept = diff[: diff.rfind("\n", 0, _DIFF_CHARACTERS)]
        diff = f"{kept}\n[… {diff.count(chr(10)) - kept.count(chr(10)):,} more lines of the diff]"
    lines = "1 line" if added == 1 else f"{added:,} lines"
    return f"Edited {draft.shown}: {lines} added, {removed:,} removed{places}{loose}{remark}.\n{diff}"
