"""The page of the documentation that lists the faults: `python -m tests.conformance.table --page` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.faults import FAULTS, Outcome

PAGE = Path(__file__).parents[2] / "vmpilot-core/docs/faults.md"

_HEAD = """# Faults

These are the faults that we observed in real servers and models. The scripted server of `vmpilot.testing` plays all of
them, and `nox -s conformance` puts both backends through each one, with and without streaming, over their real HTTP
stacks. `nox -s conformance -- --only NAME` runs the faults whose name contains NAME or whose family is NAME;
`--backend NAME` runs one backend, and `--json FILE` writes the rows as JSON. The exit code is 1 if a row fails.

With every fault, the turn ends with exactly one `TurnEnded`, and with an answer or one plain sentence. No text is shown
twice. No partial call runs, and no call runs twice. The key appears only in the header of requests to its own server.
Time and memory are bounded. The strictest provider accepts the next turn of the stored conversation.
`tests.faults.verifier` in the repository checks all of this in every row.

To run another client through a fault, call `tests.faults.playing.play` from a checkout; the client must yield VMPilot's
events.
"""


def write_page() -> str:
    """Write the page."""
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
