"""What a fault of a model or its server is, and what a good client makes of it: values only."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from vmpilot.contract import EndReason, LimitName
from vmpilot.testing.script import Reply, Step, StepMaker

ANSWER = "Here it is."
"""The answer that a fault leaves the way to, where there is one."""

ANSWERED = Reply(ANSWER)

MARKS = "runs"
"""The file in the working folder to which each command of a fault adds one line, so that it shows what ran."""

Family: TypeAlias = Literal["statuses", "connections", "streams", "shapes", "tool calls", "loops", "text"]

Place: TypeAlias = Literal["server", "closed port", "full port", "https"]
"""Where the client is sent: to the scripted server, to a port where nobody listens or where nobody takes the
connection, or to the scripted server as if it spoke TLS."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One good end of a turn with a fault in it.

    `text` is all that was said and kept in the turn; None allows any. `says` is a pattern (case does not matter) that
    the sentence on the end matches, `problems` are patterns for the results of failed calls, in their order. `ran`
    are the lines of the marks, in any order; None allows any up to `most_runs`. `requests` is the least and the most
    that the turn may ask. `limit` is the limit that stopped it.
    """

    end: EndReason
    text: str | None = None
    says: str = ""
    requests: tuple[int, int] = (1, 1)
    ran: tuple[str, ...] | None = ()
    most_runs: int = 64
    problems: tuple[str, ...] | None = None
    limit: LimitName | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that real servers and models were seen to have.

    `script` answers the requests of the turn one by one; with `repeats` its last step answers all later ones, too.
    One of `expects` must come true. `settings` are the client's, by VMPilot's names. `waits` is the least time in
    seconds between the first two requests, `seconds` the most that the turn may take on a busy machine. With `closes`
    the client must close the connection of the first request before its answer's end. `megabytes` is the most that
    the process may grow by; 0 does not measure it.
    """

    name: str
    family: Family
    advice: str
    script: tuple[Step | StepMaker, ...]
    expects: tuple[Outcome, ...]
    repeats: bool = False
    settings: dict[str, Any] = {}
    place: Place = "server"
    waits: float = 0.0
    seconds: float = 60.0
    closes: bool = False
    megabytes: int = 0


def answers(
    text: str | None = ANSWER,
    *,
    requests: int | tuple[int, int] = 1,
    ran: tuple[str, ...] | None = (),
    most_runs: int = 64,
    problems: tuple[str, ...] | None = (),
) -> Outcome:
    """The turn ends with this answer; without `problems` every call did what it was asked to."""
    return Outcome(
        end="answered",
        text=text,
        requests=_span(requests),
        ran=ran,
        most_runs=most_runs,
        problems=problems,
    )


def fails(
    says: str, *, requests: int | tuple[int, int] = 1, text: str | None = "", ran: tuple[str, ...] | None = ()
) -> Outcome:
    """The turn fails with one plain sentence; `text` is what was said before and is kept."""
    return Outcome(end="failed", says=says, requests=_span(requests), text=text, ran=ran)


def stops(
    limit: LimitName,
    *,
    requests: int | tuple[int, int],
    says: str = "",
    text: str | None = None,
    ran: tuple[str, ...] | None = (),
    most_runs: int = 64,
) -> Outcome:
    """A limit of the turn stops it, and a sentence says which."""
    return Outcome(
        end="limit", limit=limit, says=says, requests=_span(requests), text=text, ran=ran, most_runs=most_runs
    )


def once(step: Step) -> tuple[Step, ...]:
    """The fault, and then the answer."""
    return (step, ANSWERED)


def _span(requests: int | tuple[int, int]) -> tuple[int, int]:
    return (requests, requests) if isinstance(requests, int) else requests
