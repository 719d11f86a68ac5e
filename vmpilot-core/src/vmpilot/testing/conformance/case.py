"""A conformance case: one thing that the contract requires of a backend, and how a failure is reported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from vmpilot.testing.conformance.harness import Harness

Level: TypeAlias = Literal["core", "streaming", "tools", "parallel", "errors", "cancel", "usage", "resume"]
"""The levels that a backend may claim in `BackendInfo.capabilities`."""

LEVELS: tuple[Level, ...] = get_args(Level)

Play: TypeAlias = "Callable[[Harness], Awaitable[None]]"


class Unmet(AssertionError):
    """A case's expectation was not met: `expected` is the expectation, `came` the actual outcome."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; got {came}")
        self.expected = expected
        self.came = came


class NotApplicable(Exception):
    """The case does not apply to this backend; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `sentence` describes a conforming backend; `where` is the documentation section that requires it."""

    level: Level
    name: str
    sentence: str
    where: str
    run_turn: Play

    @property
    def id(self) -> str:
        """The unique name of the case: `tools.half_call`."""
        return f"{self.level}.{self.name}"


def case(level: Level, where: str) -> Callable[[Play], Case]:
    """Create a case from a function; its name and the first line of its docstring become the case's."""

    def make(run_turn: Play) -> Case:
        sentence = (run_turn.__doc__ or "").strip().partition("\n")[0]
        return Case(level, run_turn.__name__, sentence, where, run_turn)

    return make


def check(fulfilled: bool, expected: str, came: str) -> None:
    """Raise `Unmet` unless `fulfilled` is true."""
    if not fulfilled:
        raise Unmet(expected, came)


def check_equal(came: object, wanted: object, what: str) -> None:
    """Raise `Unmet` unless the two are equal; `what` describes them at the start of the expectation."""
    check(came == wanted, f"{what} {shown(wanted)}", shown(came))


def shown(value: object) -> str:
    """The value's repr for a message, with the middle of a long one removed."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} … {text[-80:]}"
