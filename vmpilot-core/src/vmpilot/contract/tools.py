"""What every tool is: a specification, a title for the person, the effect that a call would have, and an async call.

A tool knows no permissions: it tells what a call would do, and others decide whether, and how confined, it is done.
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
    """The call sends a request to this address, which may tell somebody something."""

    url: str


@dataclass(frozen=True, slots=True)
class LooksUp:
    """The call changes nothing, tells nobody anything, and shows no file: what jobs run, what a search engine knows."""


@dataclass(frozen=True, slots=True)
class Acts:
    """The call does something else. `subject` is what a rule may name: `issue create`, `job 3`."""

    subject: str = ""


Effect: TypeAlias = RunsCommand | ReadsFiles | ChangesFiles | Fetches | LooksUp | Acts


class ToolError(Exception):
    """What a tool raises when it cannot do what it was asked; the message tells the model what to do instead."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What came of a call: the text for the model, and facts for the person where there are any.

    `folder` is the conversation's working folder from here on, where the call changed it.
    """

    text: str
    is_error: bool = False
    exit_code: int | None = None
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How one call is to be carried out: where its live output goes, and how far its commands may reach."""

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
        """Where a call that starts now works, None where that means nothing."""
        ...

    def title(self, arguments: Mapping[str, Any]) -> str:
        """The call for a person, whole: what is shown is what runs."""
        ...

    def effect(self, arguments: Mapping[str, Any]) -> Effect:
        """What the call would do. Raises `ToolError` where it cannot be done at all."""
        ...

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        """Do it; `arguments` fit the specification. Raises `ToolError`; cancelling it ends what it began."""
        ...
