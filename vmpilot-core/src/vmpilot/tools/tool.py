"""What every tool is to the toolbox: a specification, a title for the person, and an async call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vmpilot.contract import ToolSpec


class ToolProblem(Exception):
    """What a tool raises when it cannot do what it was asked; the message tells the model what to do instead."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What came of a call: the text for the model, and facts for the person where there are any."""

    text: str
    is_error: bool = False
    exit_code: int | None = None
    folder: str | None = None


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

    async def run(self, arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        """Do it; `arguments` fit the specification. Raises `ToolProblem`; cancelling it ends what it began."""
        ...
