"""The parts of a tool: a specification, a title for the user, the effect that a call would have, and an async call.

A tool knows no permissions: it says what a call would do, and the core decides whether and how confined it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from vmpilot.contract.request import ToolSpec

Confinement: TypeAlias = Literal["read", "workspace", "host"]
"""How far a command reaches: it changes nothing; it changes the workspace only, without a network; no bounds."""


@dataclass(frozen=True, slots=True)
class RunsCommand:
    """The call runs a shell line in `folder`. `background`: it goes on after the call has ended."""

    line: str
    folder: Path
    background: bool = False


@dataclass(frozen=True, slots=True)
class ReadsFiles:
    """The call reads these files or, with `below`, all that is in these folders. Paths are absolute, links followed."""

    paths: tuple[Path, ...]
    below: bool = False


@dataclass(frozen=True, slots=True)
class ChangesFiles:
    """The call makes or changes these files. Paths are absolute, links followed."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Fetches:
    """The call sends a request to this address, which may leak information."""

    url: str


@dataclass(frozen=True, slots=True)
class LooksUp:
    """The call changes nothing, leaks nothing, and shows no file, such as listing jobs or asking a search engine."""


@dataclass(frozen=True, slots=True)
class Acts:
    """The call does something else. `subject` is what a rule may name: `issue create`, `job 3`."""

    subject: str = ""


Effect: TypeAlias = RunsCommand | ReadsFiles | ChangesFiles | Fetches | LooksUp | Acts


class ToolError(Exception):
    """Raised by a tool that cannot do what it was asked; the message says what the model can do instead."""


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
    """How one call runs: where its live output goes, and how far its commands may reach."""

    on_output: Callable[[str], None]
    confinement: Confinement = "host"


class Tool(Protocol):
    """One tool, as it is used within one conversation."""

    @property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        ...

    @property
    def folder(self) -> str | None:
        """The working folder of a call that starts now; None if that has no meaning."""
        ...

    def title(self, arguments: Mapping[str, Any]) -> str:
        """The call for a person, whole: what is shown is what runs."""
        ...

    def effect(self, arguments: Mapping[str, Any]) -> Effect:
        """The effect of the call. Raises `ToolError` if it cannot be done at all."""
        ...

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        """Do it; `arguments` fit the specification. Raises `ToolError`; cancelling it ends what it began."""
        ...
