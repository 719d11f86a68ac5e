"""Extracts a tool's output from the boundary in which the model receives it."""

from __future__ import annotations

import re

_BETWEEN = re.compile(r"<(output-[0-9a-f]{12})>\n(.*)\n</\1>", re.DOTALL)


def output_in(content: str) -> str:
    """The output without its boundary; an AssertionError if there is no boundary, as in denials."""
    if content.startswith("Denied: "):
        return content
    found = _BETWEEN.fullmatch(content)
    assert found is not None, f"not marked as data: {content[:200]!r}"
    return found[2]
