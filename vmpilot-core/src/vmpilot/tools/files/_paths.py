"""The base of the file tools: paths are resolved once, for a call's effect, and the run uses exactly those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpilot.contract import ToolError
from vmpilot.machine.workspace import Workspace, describe_look_alike, show_name
from vmpilot.tools.files._content import FileMemory
from vmpilot.tools.files._errors import explain_os_errors


@dataclass(slots=True)
class PlannedCall:
    """A call's paths, in the order of its arguments, and digests of the file contents shown to the user."""

    arguments: Mapping[str, Any]
    paths: tuple[Path, ...]
    shown: dict[Path, bytes | None] | None = None


class FileTool:
    """A tool whose calls name paths in a workspace.

    The user approves a call between its effect and its run: a link that is swapped meanwhile must not redirect it. A
    call is identified by its arguments object. Denied calls stay in memory: they are small, and a tool lasts for a
    turn.
    """

    def __init__(self, workspace: Workspace, memory: FileMemory | None = None) -> None:
        self.workspace = workspace
        self.memory = memory or FileMemory()
        self._planned: dict[int, PlannedCall] = {}

    @property
    def folder(self) -> str:
        return str(self.workspace.folder)

    def plan(self, arguments: Mapping[str, Any], *texts: str) -> PlannedCall:
        """Resolve the paths now. The shown digests stay valid while the paths stay the same.

        Raises `ToolError` for a path that no file can have.
        """
        paths = tuple(map(self._resolve, texts))
        known = self._known(arguments)
        if known is not None and known.paths == paths:
            return known
        call = self._planned[id(arguments)] = PlannedCall(arguments, paths)
        return call

    def look(self, arguments: Mapping[str, Any], *texts: str) -> PlannedCall:
        """The call as last planned, or else as planned now."""
        return self._known(arguments) or PlannedCall(arguments, tuple(map(self._resolve, texts)))

    def take(self, arguments: Mapping[str, Any], *texts: str) -> PlannedCall:
        """The same for the run, after which the call is forgotten."""
        call = self.look(arguments, *texts)
        self._planned.pop(id(arguments), None)
        return call

    def show(self, path: Path) -> str:
        """The path as the model knows it."""
        return self.workspace.show(path)

    def describe_substitution(self, text: str, path: Path) -> str:
        """A note that `path` was used for `text` because it looks the same; empty if they are equal."""
        difference = describe_look_alike(text, path)
        return f"used instead of {show_name(text)}: its name has {difference}" if difference else ""

    def _known(self, arguments: Mapping[str, Any]) -> PlannedCall | None:
        call = self._planned.get(id(arguments))
        return call if call is not None and call.arguments is arguments else None

    def _resolve(self, text: str) -> Path:
        try:
            with explain_os_errors(Path(text), text):
                return self.workspace.resolve(text)
        except ValueError as error:
            raise ToolError(f"Invalid path {text!r}: {error}.") from error
