"""All faults, grouped by family."""

from __future__ import annotations

from tests.faults.connections import CONNECTIONS
from tests.faults.fault import Fault
from tests.faults.loops import LOOPS
from tests.faults.members import MEMBERS
from tests.faults.refusals import REFUSALS
from tests.faults.shapes import SHAPES
from tests.faults.statuses import STATUSES
from tests.faults.streams import STREAMS
from tests.faults.text import TEXT
from tests.faults.tool_calls import TOOL_CALLS
from tests.faults.wanted_back import WANTED_BACK

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
    """The faults whose name contains one of these words or whose family is one of them; without words, all faults."""
    return tuple(
        fault for fault in FAULTS if not words or any(word in fault.name or word == fault.family for word in words)
    )
