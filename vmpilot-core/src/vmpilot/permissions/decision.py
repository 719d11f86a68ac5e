"""Decisions of the permission policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from vmpilot.contract import Confinement
from vmpilot.permissions.rules import Match

Mode: TypeAlias = Literal["observe", "operate", "full"]
Action: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a call. `reason` is a phrase for the user and the log; `exclusive` calls wait for others.

    `confinement` is how far it may reach if it runs; `suggested_rules` are rules that the user may save.
    """

    action: Action
    reason: str
    exclusive: bool = True
    confinement: Confinement = "host"
    suggested_rules: tuple[str, ...] = ()


def ask_or_deny(mode: Mode, reason: str, *, exclusive: bool = True, suggested_rules: tuple[str, ...] = ()) -> Decision:
    """The mode's decision on a call that nothing else allows."""
    match mode:
        case "full":
            return Decision("allow", "Full mode", exclusive=exclusive)
        case "operate":
            return Decision("ask", reason, exclusive=exclusive, suggested_rules=suggested_rules)
        case "observe":
            return Decision("deny", f"{reason}; observe mode only allows plain reading", exclusive=exclusive)


def apply_rules(decision: Decision, *, deny: Match | None, ask: Match | None) -> Decision:
    """The decision after the rules that deny, then those that ask."""
    if deny and deny.certain:
        return Decision("deny", f'Rule "{deny.rule.written}" denies it', exclusive=decision.exclusive)
    if decision.action != "allow" or not (match := deny or ask):
        return decision
    reason = f'Rule "{match.rule.written}" {"requires approval" if match is ask and match.certain else "may apply"}'
    if match.reason:
        reason += f": {match.reason}"
    return replace(decision, action="ask", reason=reason, confinement="host")
