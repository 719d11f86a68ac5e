"""A fault of a model or its server, and how a turn with it may end: values only."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from vmpilot.contract import EndReason, LimitName
from vmpilot.testing.script import Reply, Step, StepMaker

ANSWER = "Here it is."
"""The answer that the model gives once the fault is over."""

ANSWERED = Reply(ANSWER)

MARKS = "runs"
"""The file in the working folder to which each command of a fault adds a line, as a record of what ran."""

Family: TypeAlias = Literal["statuses", "connections", "streams", "shapes", "tool calls", "loops", "text"]

Place: TypeAlias = Literal["server", "closed port", "full port", "https"]
"""Where the client connects: to the scripted server, to a port without a listener or with a full backlog, or to the
scripted server as if it spoke TLS."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One acceptable end of a turn with a fault in it.

    `text` is the text of all messages of the turn; None allows any. `says` is a case-insensitive pattern for the final
    sentence, `problems` are patterns for the results of failed calls, in order. `ran` are the lines of the marks, in
    any order; None allows any up to `most_runs`. `requests` is the minimum and the maximum number of requests. `limit`
    is the limit that stopped the turn.
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
    """A fault that was observed in real servers or models.

    `script` answers the requests of the turn one by one; with `repeats` its last step also answers all later ones.
    One of `expects` must be met. `settings` are the client's settings, by VMPilot's names. `waits` is the minimum time
    in seconds between the first two requests, `seconds` the most that the turn may take on a busy machine. With
    `closes` the client must close the connection of the first request before the end of its answer. `megabytes` is the
    most that the process may grow by; 0 means that it is not measured.
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
    """The turn ends with this answer; without `problems`, every call succeeds."""
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
    """The turn fails with one plain sentence; `text` is the text before it, which is kept."""
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
    """A limit stops the turn, and a sentence names it."""
    return Outcome(
        end="limit", limit=limit, says=says, requests=_span(requests), text=text, ran=ran, most_runs=most_runs
    )


def once(step: Step) -> tuple[Step, ...]:
    """The fault, then the answer."""
    return (step, ANSWERED)


def _span(requests: int | tuple[int, int]) -> tuple[int, int]:
    return (requests, requests) if isinstance(requests, int) else requests
