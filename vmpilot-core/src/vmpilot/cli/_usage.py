"""What a turn used, beside what it might have used, in a line for `-v`."""

from __future__ import annotations

from dataclasses import dataclass

from vmpilot.config import Settings
from vmpilot.contract import TurnEnded


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """The limits that are in force; None is no limit."""

    steps: int | None = None
    cost: float | None = None
    tokens: int | None = None
    seconds: float | None = None


NO_LIMITS = TurnLimits()


def turn_limits(settings: Settings) -> TurnLimits:
    """Those of the settings."""
    return TurnLimits(settings.max_steps, settings.max_cost, settings.max_total_tokens, settings.max_seconds)


def consumption(end: TurnEnded, limits: TurnLimits) -> str:
    """Tokens, cost, steps and seconds, each with its limit where there is one."""
    usage = end.usage
    tokens = f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    if limits.tokens is not None:
        tokens += f" (of {limits.tokens:,})"
    cost = "cost unknown" if end.cost is None else f"${end.cost:.4f}"
    if limits.cost is not None:
        cost += f" (of ${limits.cost:g})"
    steps = f"{end.steps} steps" if end.steps != 1 else "1 step"
    if limits.steps is not None:
        steps += f" (of {limits.steps})"
    seconds = f"{end.seconds:.1f} s"
    if limits.seconds is not None:
        seconds += f" (of {limits.seconds:g} s)"
    return f"{tokens}, {cost}, {steps}, {seconds}"
