"""What a tool returned, out of the boundary in which the model gets it."""

from __future__ import annotations

import re

_BETWEEN = re.compile(r"<(output-[0-9a-f]{12})>\n(.*)\n</\1>", re.DOTALL)


def output_in(content: str) -> str:
    """The output alone; an AssertionError where it does not stand between boundaries. Denials stand without."""
    if content.startswith("Denied: "):
        return content
    found = _BETWEEN.fullmatch(content)
    assert found is not None, f"not marked as data: {content[:200]!r}"
    return found[2]
