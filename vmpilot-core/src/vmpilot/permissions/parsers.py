"""Reads shell lines for the gate with three readers, and remembers what it read. It runs nothing but the parser.

A line counts as plainly read only if the strict lexer, shfmt and tree-sitter read the same in it. The commands of any
other line are those that shfmt finds in it and in what bash itself makes of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from vmpilot.permissions.bash_printer import BashPrinter
from vmpilot.permissions.found_commands import Found, find_commands
from vmpilot.permissions.lexer import read_line
from vmpilot.permissions.shell_line import Line
from vmpilot.permissions.shfmt_parser import ParserFailed, ShfmtParser, Syntax, plain_line
from vmpilot.permissions.tree_sitter_parser import TreeSitterParser
from vmpilot.permissions.wrappers import Shell

SEARCH_LIMIT = 50_000
"""Characters; in longer lines no command is looked for."""
REMEMBERED_LINES = 256


class CommandParser:
    """Reads lines, and remembers the latest. The parsers are loaded with the first line that needs them.

    `search_path` is the PATH on which bash is looked for; None if no bash there can be trusted.
    """

    def __init__(self, search_path: str | None = "") -> None:
        self._search_path = search_path
        self._shfmt: ShfmtParser | None = None
        self._tree: TreeSitterParser | None = None
        self._bash: BashPrinter | None = None
        self._parse = lru_cache(REMEMBERED_LINES)(self._parse_anew)
        self._read_script = lru_cache(REMEMBERED_LINES)(self._read_script_anew)
        self._find = lru_cache(REMEMBERED_LINES)(lambda line: find_commands(line, self._read_script))

    def parse_plain(self, line: str) -> Line | None:
        """The commands of a plain line that all three readers read alike; None for any other.

        Raises `ParserFailed` where a parser is missing or does not work.
        """
        plain = read_line(line)
        if plain is None or (syntax := self._parse(line, "bash")) is None or plain != plain_line(syntax):
            return None
        return plain if self._read_tree(line) == plain else None

    def find_commands(self, line: str) -> Found:
        """All commands of any line, as far as they can be found; opaque where a parser fails."""
        if len(line) > SEARCH_LIMIT:
            return Found(opaque="it is too long")
        try:
            return self._find(line)
        except ParserFailed as failure:
            return Found(opaque=str(failure))

    def _read_script_anew(self, code: str, shell: Shell) -> tuple[Syntax, ...] | None:
        """The script as shfmt reads it, as shfmt reads what bash makes of it, and for `sh` as POSIX has it."""
        readings = [self._parse(code, "bash")]
        printed = self._load_bash().print_line(code)
        readings.append(None if printed is None else self._parse(printed, "bash"))
        if shell == "sh":
            readings.append(self._parse(code, "posix"))
        syntaxes = [reading for reading in readings if reading is not None]
        return tuple(syntaxes) if len(syntaxes) == len(readings) else None

    def _parse_anew(self, line: str, dialect: Literal["bash", "posix"]) -> Syntax | None:
        if self._shfmt is None:
            self._shfmt = ShfmtParser()
        return self._shfmt.parse(line, dialect)

    def _load_bash(self) -> BashPrinter:
        if self._search_path is None:
            raise ParserFailed("the workspace brings a bash of its own")
        if self._bash is None:
            self._bash = BashPrinter(self._search_path)
        return self._bash

    def _read_tree(self, line: str) -> Line | None:
        if self._tree is None:
            try:
                self._tree = TreeSitterParser()
            except ImportError as error:
                raise ParserFailed(f"tree-sitter-bash is not installed: {error}") from error
        return self._tree.read_line(line)
