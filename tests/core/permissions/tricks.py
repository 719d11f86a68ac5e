"""A trick by which a command slips through a policy: its name, why it works elsewhere, and lines that use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trick:
    name: str
    reason: str
    lines: list[str]
