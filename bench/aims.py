"""The aims for VMPilot's figures, absolute or relative to the bare loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class AtMost:
    """An absolute limit."""

    limit: float


@dataclass(frozen=True, slots=True)
class AtMostTimes:
    """At most this multiple of the bare loop's figure."""

    factor: float


@dataclass(frozen=True, slots=True)
class AtLeastTimes:
    """At least this multiple of the bare loop's figure."""

    factor: float


@dataclass(frozen=True, slots=True)
class AtMostMore:
    """At most this much above the bare loop's figure."""

    margin: float


Aim: TypeAlias = AtMost | AtMostTimes | AtLeastTimes | AtMostMore


def is_met(aim: Aim, value: float, *, bare: float | None) -> bool | None:
    """Whether `value` meets the aim; None without a figure to compare it with."""
    if isinstance(aim, AtMost):
        return value <= aim.limit
    if bare is None:
        return None
    match aim:
        case AtMostTimes():
            return value <= aim.factor * bare
        case AtLeastTimes():
            return value >= aim.factor * bare
        case AtMostMore():
            return value <= bare + aim.margin
        case _:
            assert_never(aim)


def describe(aim: Aim) -> str:
    """The aim as shown in the table."""
    match aim:
        case AtMost():
            return f"≤ {aim.limit:g}"
        case AtMostTimes():
            return f"≤ {aim.factor:g} times bare"
        case AtLeastTimes():
            return f"≥ {aim.factor:g} times bare"
        case AtMostMore():
            return f"≤ bare + {aim.margin:g}"
        case _:
            assert_never(aim)
