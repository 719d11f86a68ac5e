"""The parts of a tool: a specification, a title for the user, the effect that a call would have, and an async call.

A tool has no permissions: it describes the effect of a call, and the core decides whether and how confined it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from vmpilot.contract.request import ToolSpec

Confinement: TypeAlias = Literal["read", "workspace", "host"]
"""The reach of a command: changes nothing; changes only the workspace, without a network; unlimited."""


@dataclass(frozen=True, slots=True)
class RunsCommand:
    """The call runs a shell line in `folder`. `background`: it continues after the call has ended."""

    line: str
    folder: Path
    background: bool = False


@dataclass(frozen=True, slots=True)
class ReadsFiles:
    """The call reads these files or, with `below`, everything in these folders. Paths are absolute, links resolved."""

    paths: tuple[Path, ...]
    below: bool = False


@dataclass(frozen=True, slots=True)
class ChangesFiles:
    """The call creates or changes these files. Paths are absolute, links resolved."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Fetches:
    """The call sends a request to this address, which may leak information."""

    url: str


@dataclass(frozen=True, slots=True)
class LooksUp:
    """The call changes nothing, leaks nothing, and shows no file, such as listing jobs or querying a search engine."""


@dataclass(frozen=True, slots=True)
class Acts:
    """The call does something else. Rules refer to it by `subject`: `issue create`, `job 3`."""

    subject: str = ""


Effect: TypeAlias = RunsCommand | ReadsFiles | ChangesFiles | Fetches | LooksUp | Acts


class ToolError(Exception):
    """Raised by a tool that cannot carry out a call; the message says what the model can do instead."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The outcome of a call: the text for the model, and facts for the user if there are any.

    `folder` is the conversation's new working folder, if the call changed it.
    """

    text: str
    is_error: bool = False
    exit_code: int | None = None
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How one call runs: the destination of its live output, and the reach of its commands."""

    on_output: Callable[[str], None]
    confinement: Confinement = "host"


class Tool(Protocol):
    """One tool, as used within one conversation."""

    @property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        ...

    @property
    def folder(self) -> str | None:
        """The working folder of a call that starts now; None if not applicable."""
        ...

    def title(self, arguments: Mapping[str, Any]) -> str:
        """The complete call as shown to the user: exactly this is run."""
        ...

    def effect(self, arguments: Mapping[str, Any]) -> Effect:
        """The effect of the call. Raises `ToolError` if the call is not possible at all."""
        ...

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        """Run the call; `arguments` match the specification. Raises `ToolError`; cancellation ends its processes."""
        ...
