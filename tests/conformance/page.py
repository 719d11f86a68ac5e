"""The page of the documentation that lists the faults: `python -m tests.conformance.table --page` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.faults import FAULTS, Outcome

PAGE = Path(__file__).parents[2] / "vmpilot-core/docs/faults.md"

_HEAD = """# Faults

The catalog of what real servers and models were seen to do wrong. The scripted server of `vmpilot.testing` plays every
fault, and `nox -s conformance` runs both backends through each one, streaming and not, over their real HTTP clients.
`nox -s conformance -- --only NAME` selects faults by part of the name or by family, `--backend` selects a backend, and
`--json FILE` writes the rows as JSON. The exit code is 1 if a row fails.

Whatever the fault, these always hold: the turn ends with exactly one `TurnEnded`, with an answer or with one plain
sentence; no text is shown twice; no incomplete call runs, and none runs twice; the key appears only in the headers of
requests to its own server; time and memory are bounded; and the next turn of the stored conversation is valid for the
strictest provider. `tests.faults.verifier` in the repository checks every row.

To run another client through a fault, call `tests.faults.playing.play` from a checkout; the client must yield VMPilot's
events.
"""


def write_page() -> str:
    """The whole page."""
    families = tuple(dict.fromkeys(fault.family for fault in FAULTS))
    return "\n".join([_HEAD, f"The catalog has {len(FAULTS)} faults.", *map(_write_family, families)])


def _write_family(family: str) -> str:
    rows = [
        f"| `{fault.name}` | {fault.advice} | {' or '.join(dict.fromkeys(map(_describe, fault.expects)))} |"
        for fault in FAULTS
        if fault.family == family
    ]
    head = "| fault | expected behavior | outcome |\n|---|---|---|"
    return "\n".join([f"\n## {family.capitalize()}\n", head, *rows])


def _describe(outcome: Outcome) -> str:
    least, most = outcome.requests
    count = f"{least}" if least == most else f"{least} to {most}"
    end = f"limit ({outcome.limit})" if outcome.limit else outcome.end
    return f"{end}, {count} request{'' if count == '1' else 's'}"
