"""Rules of permission in their written form: `shell: npm test`, `edit_file: src`, `web_fetch: docs.python.org`.

Parsing and writing only; what a rule matches stands in `rules`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

SHELL = "shell"
FETCH = "web_fetch"
FILE_TOOLS = frozenset({"read_file", "create_file", "edit_file", "find_files", "search_text"})

_END = " $"
"""Behind a command: it ends here."""
_TOOL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_HOST = re.compile(r"(?!-)[a-z0-9-]+(?:\.[a-z0-9-]+)*\.?|\[[0-9a-f:.]+\]")
_SYNTAX = re.compile(r"[;|&<>`$(){}*?\n]")
_NEEDS_QUOTES = re.compile(r"[^A-Za-z0-9_./,:=@%+^-]")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a tool, and what a call must begin with (all calls where that is empty).

    `words` are the first words of a command, or of what another tool tells of itself; a path or a host is one word. An
    `exact` rule on a command means these words and no more.
    """

    tool: str
    words: tuple[str, ...]
    written: str
    exact: bool = False


def read_rule(written: str) -> Rule:
    """Read `TOOL` or `TOOL: PREFIX`. Raises ValueError with what is wrong with the rule, which is not named in it."""
    tool, colon, prefix = (part.strip() for part in written.partition(":"))
    if not _TOOL.fullmatch(tool):
        raise ValueError('a rule is TOOL or "TOOL: WHAT IT BEGINS WITH", such as "shell: npm test"')
    if colon and not prefix:
        raise ValueError(f'nothing stands behind the colon; for all calls write "{tool}"')
    if not written.isprintable():
        raise ValueError("it has characters that cannot be seen")
    exact = tool == SHELL and prefix.endswith(_END)
    words = _read_prefix(tool, prefix.removesuffix(_END) if exact else prefix) if prefix else ()
    return Rule(tool, words, written.strip(), exact)


def _read_prefix(tool: str, prefix: str) -> tuple[str, ...]:
    if tool == SHELL:
        return _read_command(prefix)
    if tool == FETCH:
        return (_read_host(prefix),)
    return (prefix,) if tool in FILE_TOOLS else tuple(prefix.split())


def _read_command(prefix: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(prefix))
        bare = shlex.split(prefix, posix=False)
    except ValueError as error:
        raise ValueError(f"its quotes do not match ({error})") from error
    if any(_SYNTAX.search(word) for word in bare if not word.startswith(("'", '"'))):
        raise ValueError("it is to name the first words of one simple command, without the shell's signs and wildcards")
    if not words or not words[0]:
        raise ValueError("it names no program")
    return words


def _read_host(prefix: str) -> str:
    host = prefix.lower()
    if not _HOST.fullmatch(host):
        raise ValueError("it is to name a host alone, such as docs.python.org")
    return host.rstrip(".")


def write_rule(tool: str, words: Sequence[str] = (), *, exact: bool = False) -> str | None:
    """The written form that is read as this tool and these words again; None where there is none."""
    prefix = " ".join(_quote(word) for word in words) if tool == SHELL else " ".join(words)
    written = f"{tool}: {prefix}{_END if exact else ''}" if words else tool
    try:
        rule = read_rule(written)
    except ValueError:
        return None
    return written if (rule.tool, rule.words, rule.exact) == (tool, tuple(words), exact) else None


def _quote(word: str) -> str:
    return shlex.quote(word) if not word or _NEEDS_QUOTES.search(word) else word
