"""Reads shell lines for the gate with three readers, and remembers what it read. It runs nothing but the parser.

A line counts as plainly read only where the strict lexer, shfmt and tree-sitter read the same in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from vmpilot.policy.found_commands import Found, find_commands
from vmpilot.policy.lexer import read_line
from vmpilot.policy.line import Line
from vmpilot.policy.shfmt_reader import ParserFailed, ShfmtReader, Syntax, plain_line
from vmpilot.policy.tree_reader import TreeReader

SEARCH_LIMIT = 50_000
"""Characters; in longer lines no command is looked for."""
REMEMBERED_LINES = 256

_OPAQUE = Found(opaque=True)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """One run of shfmt on a line: its plain commands, where there is nothing else, and all commands anywhere in it."""

    line: Line | None
    found: Found


class LineReader:
    """Reads lines, and remembers the latest. The parsers are loaded with the first line that needs them."""

    def __init__(self) -> None:
        self._shfmt: ShfmtReader | None = None
        self._tree: TreeReader | None = None
        self._parse = lru_cache(REMEMBERED_LINES)(self._parse_anew)

    def read_plainly(self, line: str) -> Line | None:
        """The commands of a plain line that all three readers read alike; None for any other.

        Raises `ParserFailed` where a parser is missing or does not work.
        """
        plain = read_line(line)
        if plain is None or plain != self._parse(line).line:
            return None
        return plain if self._read_tree(line) == plain else None

    def find_commands(self, line: str) -> Found:
        """All commands of any line, as far as they can be found; opaque where a parser fails."""
        if len(line) > SEARCH_LIMIT:
            return _OPAQUE
        try:
            return self._parse(line).found
        except ParserFailed:
            return _OPAQUE

    def _parse_anew(self, line: str) -> _Parsed:
        shfmt = self._load_shfmt()
        syntax = shfmt.parse(line)
        if syntax is None:
            return _Parsed(None, _OPAQUE)
        return _Parsed(plain_line(syntax), find_commands(syntax, self._parse_script))

    def _parse_script(self, script: str) -> Syntax | None:
        return self._load_shfmt().parse(script)

    def _load_shfmt(self) -> ShfmtReader:
        if self._shfmt is None:
            self._shfmt = ShfmtReader()
        return self._shfmt

    def _read_tree(self, line: str) -> Line | None:
        if self._tree is None:
            try:
                self._tree = TreeReader()
            except ImportError as error:
                raise ParserFailed(f"tree-sitter-bash is not installed: {error}") from error
        return self._tree.read_line(line)
