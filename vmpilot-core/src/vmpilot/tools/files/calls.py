"""What the file tools share: paths are resolved once, when the effect is told, and the run acts on just these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpilot.contract import ToolError
from vmpilot.machine.workspace import Workspace, describe_look_alike, show_name
from vmpilot.tools.files.memory import FileMemory
from vmpilot.tools.files.problems import explain_os_errors


@dataclass(slots=True)
class PlannedCall:
    """A call's paths, in the order of its arguments, and what a person was shown of the files, by digest."""

    arguments: Mapping[str, Any]
    paths: tuple[Path, ...]
    shown: dict[Path, bytes | None] | None = None


class PlannedCalls:
    """The calls whose effect was told and which have not run yet; a call is known by the identity of its arguments.

    Between the two lies the person's yes: links that are swapped meanwhile must not lead the run elsewhere. Denied
    calls stay behind: their arguments are small, and the tools last for a turn.
    """

    def __init__(self) -> None:
        self._calls: dict[int, PlannedCall] = {}

    def plan(self, arguments: Mapping[str, Any], paths: tuple[Path, ...]) -> PlannedCall:
        """Note what the call means now; what was shown of it counts as long as it means the same."""
        known = self.find(arguments)
        if known is not None and known.paths == paths:
            return known
        call = self._calls[id(arguments)] = PlannedCall(arguments, paths)
        return call

    def find(self, arguments: Mapping[str, Any]) -> PlannedCall | None:
        """The call with these arguments, None where its effect was never asked for."""
        call = self._calls.get(id(arguments))
        return call if call is not None and call.arguments is arguments else None

    def take(self, arguments: Mapping[str, Any]) -> PlannedCall | None:
        """The call with these arguments, which runs now."""
        call = self.find(arguments)
        if call is not None:
            del self._calls[id(arguments)]
        return call


class PathCalls:
    """Reads the paths of a tool's calls in a workspace, and remembers them until the run."""

    def __init__(self, workspace: Workspace, memory: FileMemory) -> None:
        self.workspace = workspace
        self.memory = memory
        self._planned = PlannedCalls()

    def plan(self, arguments: Mapping[str, Any], *texts: str) -> PlannedCall:
        """What the call means now. Raises `ToolError` for a path that no file can have."""
        return self._planned.plan(arguments, tuple(map(self._resolve, texts)))

    def look(self, arguments: Mapping[str, Any], *texts: str) -> PlannedCall:
        """What the call means by the last `plan`, or now where there was none."""
        return self._planned.find(arguments) or PlannedCall(arguments, tuple(map(self._resolve, texts)))

    def take(self, arguments: Mapping[str, Any], *texts: str) -> PlannedCall:
        """`look`, for the run."""
        return self._planned.take(arguments) or PlannedCall(arguments, tuple(map(self._resolve, texts)))

    def show(self, path: Path) -> str:
        """The path as the model knows it."""
        return self.workspace.show(path)

    def remark(self, text: str, path: Path) -> str:
        """That `path` was taken for `text` because it looks the same; empty if it is the same."""
        difference = describe_look_alike(text, path)
        return f"taken for {show_name(text)}: the name has {difference}" if difference else ""

    def _resolve(self, text: str) -> Path:
        try:
            with explain_os_errors(Path(text), text):
                return self.workspace.resolve(text)
        except ValueError as error:
            raise ToolError(f"{text!r} is no path: {error}. Give another one.") from error
