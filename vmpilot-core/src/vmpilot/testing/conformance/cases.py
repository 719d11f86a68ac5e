"""All cases, level by level."""

from __future__ import annotations

from collections.abc import Collection

from vmpilot.testing.conformance.cancel import CANCEL
from vmpilot.testing.conformance.case import Case
from vmpilot.testing.conformance.core import CORE
from vmpilot.testing.conformance.errors import ERRORS
from vmpilot.testing.conformance.parallel import PARALLEL
from vmpilot.testing.conformance.resume import RESUME
from vmpilot.testing.conformance.streaming import STREAMING
from vmpilot.testing.conformance.tools import TOOLS
from vmpilot.testing.conformance.usage import USAGE

CASES: tuple[Case, ...] = (*CORE, *STREAMING, *TOOLS, *PARALLEL, *ERRORS, *CANCEL, *USAGE, *RESUME)
"""All cases, in the order of the table."""


def find_cases(levels: Collection[str]) -> tuple[Case, ...]:
    """The cases of these levels; all cases if no level is given."""
    return tuple(case for case in CASES if not levels or case.level in levels)
