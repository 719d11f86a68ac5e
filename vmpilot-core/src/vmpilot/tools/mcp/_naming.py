"""Names and texts of MCP servers, made valid, unique and free of hidden characters."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from vmpilot.contract.invisible import escape_invisible

PREFIX = "mcp__"
LONGEST_NAME = 64
"""The length that every provider accepts."""

_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
_MARK = 8


def tool_name(server: str, tool: str) -> str:
    """`mcp__SERVER__TOOL`; a name that had to be changed ends in a hash of the original, so it stays unique."""
    name = f"{PREFIX}{server}__{_REFUSED.sub('_', tool)}"
    if name == f"{PREFIX}{server}__{tool}" and len(name) <= LONGEST_NAME and tool:
        return name
    mark = hashlib.sha256(tool.encode(errors="surrogatepass")).hexdigest()[:_MARK]
    return f"{name[: LONGEST_NAME - _MARK - 1]}_{mark}"


def visible(text: str) -> str:
    """`text` with escapes for characters that a screen would not show; see `escape_invisible`."""
    return escape_invisible(text, exact=True)


def visible_line(text: str) -> str:
    """`visible`, on one line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def shown_arguments(arguments: Mapping[str, Any]) -> str:
    """The complete arguments as JSON on one line."""
    return visible(json.dumps(dict(arguments), ensure_ascii=False))


def cut(text: str, limit: int) -> str:
    """The first `limit` characters, and the number of characters cut."""
    return text if len(text) <= limit else f"{text[:limit]}[… {len(text) - limit:,} characters cut …]"
