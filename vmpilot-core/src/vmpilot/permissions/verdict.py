"""What the gate says of a call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from vmpilot.contract import Confinement
from vmpilot.permissions.rules import Match

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


def ask_or_deny(mode: Mode, why: str, *, alone: bool = True, always: tuple[str, ...] = ()) -> Verdict:
    """What the mode does with a call that is not let through by itself."""
    match mode:
        case "full":
            return Verdict("allow", "mode full", alone=alone)
        case "operate":
            return Verdict("ask", why, alone=alone, always=always)
        case "observe":
            return Verdict("deny", f"mode observe only lets through what plainly reads, and {why}", alone=alone)


def under_rules(verdict: Verdict, *, deny: Match | None, ask: Match | None) -> Verdict:
    """The verdict after the rules that deny and those that ask, in this order."""
    if deny and deny.certain:
        return Verdict("deny", f'the rule "{deny.rule.written}" denies it', alone=verdict.alone)
    if verdict.action != "allow" or not (match := deny or ask):
        return verdict
    why = f'the rule "{match.rule.written}" {"asks" if match is ask and match.certain else "may forbid it"}'
    return replace(verdict, action="ask", why=f"{why}: {match.why}" if match.why else why, confinement="host")
