"""A trick by which commands pass a weaker check: its name, why it works elsewhere, and lines that use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trick:
    name: str
    reason: str
    lines: list[str]
