"""Permission rules as text: `shell: npm test`, `edit_file: src`, `web_fetch: docs.python.org`.

Parsing and writing only; `rules` matches them against calls.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from vmpilot.contract.invisible import escape_invisible

SHELL = "shell"
FETCH = "web_fetch"
FILE_TOOLS = frozenset({"read_file", "create_file", "edit_file", "find_files", "search_text"})

_END = " $"
"""At the end of a command: exactly these words."""
_TOOL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_HOST = re.compile(r"(?!-)[a-z0-9-]+(?:\.[a-z0-9-]+)*\.?|\[[0-9a-f:.]+\]")
_SYNTAX = re.compile(r"[;|&<>`$(){}*?\n]")
_NEEDS_QUOTES = re.compile(r"[^A-Za-z0-9_./,:=@%+^-]")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a tool, and what a call must begin with (any call if that is empty).

    `words` are the first words of a command, or of the description of another tool's call; a path or a host is one
    word. An `exact` rule on a command means exactly these words.
    """

    tool: str
    words: tuple[str, ...]
    written: str
    exact: bool = False


def read_rule(written: str) -> Rule:
    """Parse `TOOL` or `TOOL: PREFIX`. Raises ValueError that says what is wrong, without the rule itself."""
    tool, colon, prefix = (part.strip() for part in written.partition(":"))
    if not _TOOL.fullmatch(tool):
        raise ValueError('expected TOOL or "TOOL: PREFIX", such as "shell: npm test"')
    if colon and not prefix:
        raise ValueError(f'nothing follows the colon; to match every call, write "{tool}"')
    if "\n" in written or "\t" in written or escape_invisible(written, exact=True) != written:
        raise ValueError("it contains invisible characters")
    exact = tool == SHELL and prefix.endswith(_END)
    prefix = prefix.removesuffix(_END) if exact else prefix
    if tool == SHELL and prefix:
        words = _read_command(prefix)
    elif tool == FETCH and prefix:
        if not _HOST.fullmatch(prefix.lower()):
            raise ValueError("expected a bare host name, such as docs.python.org")
        words = (prefix.lower().rstrip("."),)
    else:
        words = (prefix,) if prefix and tool in FILE_TOOLS else tuple(prefix.split())
    return Rule(tool, words, written.strip(), exact)


def _read_command(prefix: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(prefix))
        bare = shlex.split(prefix, posix=False)
    except ValueError as error:
        raise ValueError(f"unbalanced quotes ({error})") from error
    if any(_SYNTAX.search(word) for word in bare if not word.startswith(("'", '"'))):
        raise ValueError("expected the first words of one simple command, without shell operators or wildcards")
    if not words or not words[0]:
        raise ValueError("it names no program")
    return words


def write_rule(tool: str, words: Sequence[str] = (), *, exact: bool = False) -> str | None:
    """The text that parses to this tool and these words, if any."""
    if tool == SHELL:
        prefix = " ".join(shlex.quote(word) if not word or _NEEDS_QUOTES.search(word) else word for word in words)
    else:
        prefix = " ".join(words)
    written = f"{tool}: {prefix}{_END if exact else ''}" if words else tool
    try:
        rule = read_rule(written)
    except ValueError:
        return None
    return written if (rule.tool, rule.words, rule.exact) == (tool, tuple(words), exact) else None
