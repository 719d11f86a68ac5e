"""All faults, family by family."""

from __future__ import annotations

from vmpilot.testing.faults.connections import CONNECTIONS
from vmpilot.testing.faults.fault import Fault
from vmpilot.testing.faults.loops import LOOPS
from vmpilot.testing.faults.members import MEMBERS
from vmpilot.testing.faults.refusals import REFUSALS
from vmpilot.testing.faults.shapes import SHAPES
from vmpilot.testing.faults.statuses import STATUSES
from vmpilot.testing.faults.streams import STREAMS
from vmpilot.testing.faults.text import TEXT
from vmpilot.testing.faults.tool_calls import TOOL_CALLS
from vmpilot.testing.faults.wanted_back import WANTED_BACK

FAULTS: tuple[Fault, ...] = (
    *STATUSES,
    *REFUSALS,
    *CONNECTIONS,
    *STREAMS,
    *SHAPES,
    *MEMBERS,
    *TOOL_CALLS,
    *WANTED_BACK,
    *LOOPS,
    *TEXT,
)
"""Every fault, in the order of the table."""


def find_faults(words: tuple[str, ...]) -> tuple[Fault, ...]:
    """The faults with one of these words in their name or as their family; all for no words."""
    return tuple(
        fault for fault in FAULTS if not words or any(word in fault.name or word == fault.family for word in words)
    )
