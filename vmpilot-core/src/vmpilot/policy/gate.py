"""The permission modes: what runs by itself, what is asked about, what is denied. Runs nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vmpilot.policy.reading import changes_folder, plainly_reads

Mode: TypeAlias = Literal["observe", "operate", "full"]
Action: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen with a call. `why` is a phrase for the person and the log; `alone` calls wait for others."""

    action: Action
    why: str
    alone: bool = True


class Gate:
    """Decides on tool calls in one permission mode.

    Reading is free in every mode. What else there is runs in mode full, is asked about in operate, and is denied in
    observe. What cannot be read as plainly reading counts as everything else.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    def decide(self, tool: str, arguments: Mapping[str, Any]) -> Verdict:
        """The verdict on one call, whose arguments fit the tool's schema."""
        if tool == "shell" and plainly_reads(arguments["command"]):
            return Verdict("allow", "it only reads", alone=changes_folder(arguments["command"]))
        match self.mode:
            case "full":
                return Verdict("allow", "mode full")
            case "operate":
                return Verdict("ask", "it may change something")
            case "observe":
                return Verdict("deny", "mode observe only lets through what plainly reads")
