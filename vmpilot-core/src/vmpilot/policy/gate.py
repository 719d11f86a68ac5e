"""The permission modes: what runs by itself, what is asked about, what is denied. Runs nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vmpilot.contract import Confinement, Effect, RunsCommand
from vmpilot.policy.reading import changes_folder, plainly_reads

Mode: TypeAlias = Literal["observe", "operate", "full"]
Action: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen with a call. `why` is a phrase for the person and the log; `alone` calls wait for others.

    `confinement` is how far it may reach if it runs; `always` are rules that the person may be offered to keep.
    """

    action: Action
    why: str
    alone: bool = True
    confinement: Confinement = "host"
    always: tuple[str, ...] = ()


class Gate:
    """Decides on tool calls in one permission mode.

    Reading is free in every mode. What else there is runs in mode full, is asked about in operate, and is denied in
    observe. What cannot be read as plainly reading counts as everything else.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    def decide(self, tool: str, effect: Effect) -> Verdict:  # noqa: ARG002
        """The verdict on one call of a tool, and on what it would do."""
        if isinstance(effect, RunsCommand) and plainly_reads(effect.line):
            return Verdict("allow", "it only reads", alone=changes_folder(effect.line))
        match self.mode:
            case "full":
                return Verdict("allow", "mode full")
            case "operate":
                return Verdict("ask", "it may change something")
            case "observe":
                return Verdict("deny", "mode observe only lets through what plainly reads")
