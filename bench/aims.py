"""The aims: what a figure of VMPilot has to be, by itself or beside the bare loop's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class AtMost:
    """A limit of its own."""

    limit: float


@dataclass(frozen=True, slots=True)
class AtMostTimes:
    """At most so many times the bare loop's."""

    factor: float


@dataclass(frozen=True, slots=True)
class AtLeastTimes:
    """At least so many times the bare loop's."""

    factor: float


@dataclass(frozen=True, slots=True)
class AtMostMore:
    """At most so much more than the bare loop's."""

    margin: float


Aim: TypeAlias = AtMost | AtMostTimes | AtLeastTimes | AtMostMore


def is_met(aim: Aim, value: float, *, bare: float | None) -> bool | None:
    """Whether `value` is as aimed at; None where there is nothing to hold it against."""
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
    """The aim as it stands in the table."""
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
