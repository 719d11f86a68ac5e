"""Reads a tool's output from inside the boundary in which the model receives it."""

from __future__ import annotations

import re

_BETWEEN = re.compile(r"<(output-[0-9a-f]{12})>\n(.*)\n</\1>", re.DOTALL)


def output_in(content: str) -> str:
    """The output alone; an AssertionError if it has no boundary. Denials have none."""
    if content.startswith("Denied: "):
        return content
    found = _BETWEEN.fullmatch(content)
    assert found is not None, f"not marked as data: {content[:200]!r}"
    return found[2]
