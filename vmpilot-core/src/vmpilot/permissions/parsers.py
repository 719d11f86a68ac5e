"""Parses shell commands for the permission policy, and remembers what it parsed. It runs nothing but the parsers.

A command is plain only if the strict lexer and shfmt read the same in it. In any other, the commands are those that
shfmt finds in it, and in what bash itself prints of it: a fuzz run shows let-throughs without either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from typing import Literal

from vmpilot.permissions.found_commands import Found, find_commands
from vmpilot.permissions.lexer import lex_line
from vmpilot.permissions.shell_line import Line
from vmpilot.permissions.shfmt_parser import PARSER_TIMEOUT, ParserFailed, ShfmtParser, Syntax, plain_line
from vmpilot.permissions.wrappers import Shell

SEARCH_LIMIT = 50_000
"""Characters; longer commands are not searched."""
REMEMBERED_LINES = 256
_PRINTED_LIMIT = 1_000_000


class CommandParser:
    """Parses commands, and remembers the latest. shfmt is looked for when the first command needs it.

    `search_path` is the PATH on which bash is looked for; None if no bash there can be trusted.
    """

    def __init__(self, search_path: str | None = "") -> None:
        self._bash = None if search_path is None else BashPrinter(search_path)
        self._shfmt: ShfmtParser | None = None
        self._parse = lru_cache(REMEMBERED_LINES)(self._parse_uncached)
        self._read_script = lru_cache(REMEMBERED_LINES)(self._read_script_uncached)
        self._find = lru_cache(REMEMBERED_LINES)(lambda line: find_commands(line, self._read_script))

    def parse_plain(self, line: str) -> Line | None:
        """The commands of a plain line that both parsers read alike; None for any other.

        Raises `ParserFailed` if shfmt is missing or does not work.
        """
        plain = lex_line(line)
        if plain is None or (syntax := self._parse(line, "bash")) is None:
            return None
        return plain if plain == plain_line(syntax) else None

    def find_commands(self, line: str) -> Found:
        """All commands of any line, as far as they can be found; opaque if a parser fails."""
        if len(line) > SEARCH_LIMIT:
            return Found(opaque="it is too long")
        try:
            return self._find(line)
        except ParserFailed as failure:
            return Found(opaque=str(failure))

    def _read_script_uncached(self, code: str, shell: Shell) -> tuple[Syntax, ...] | None:
        """The script as shfmt parses it, as bash prints it, and, for `sh`, as POSIX."""
        if self._bash is None:
            raise ParserFailed("the workspace contains its own bash")
        readings = [self._parse(code, "bash")]
        printed = self._bash.print_line(code)
        readings.append(None if printed is None else self._parse(printed, "bash"))
        if shell == "sh":
            readings.append(self._parse(code, "posix"))
        syntaxes = [reading for reading in readings if reading is not None]
        return tuple(syntaxes) if len(syntaxes) == len(readings) else None

    def _parse_uncached(self, line: str, dialect: Literal["bash", "posix"]) -> Syntax | None:
        if self._shfmt is None:
            self._shfmt = ShfmtParser()
        return self._shfmt.parse(line, dialect)


class BashPrinter:
    """Prints a line as bash parses it, with `bash --pretty-print`, which runs nothing and takes 2 ms.

    Comments, continued lines and spacing are gone from what it prints, so a parser that reads the printed line
    differently from the original misread the original. Bash is the first on `search_path` (os.defpath if empty).
    """

    def __init__(self, search_path: str = "") -> None:
        # Only absolute folders: a relative one would be searched in the folder that a command runs in.
        folders = [folder for folder in search_path.split(os.pathsep) if folder.startswith("/")]
        self._program = shutil.which("bash", path=os.pathsep.join(folders) or os.defpath)

    def print_line(self, line: str) -> str | None:
        """The line as bash writes it; None if that is not correct bash. Raises `ParserFailed`."""
        if self._program is None:
            raise ParserFailed("bash is not installed")
        try:
            # From a file: with -c, bash would run the line. -n is a second guard against the same.
            done = subprocess.run(
                [self._program, "--norc", "--noprofile", "--pretty-print", "-n", "/dev/stdin"],
                input=line.encode(),
                capture_output=True,
                env={},
                cwd="/",
                timeout=PARSER_TIMEOUT,
                check=False,
            )
        except (OSError, UnicodeEncodeError, subprocess.TimeoutExpired) as error:
            raise ParserFailed(f"bash failed to parse it: {error}") from error
        if done.returncode != 0 or done.stderr or len(done.stdout) > _PRINTED_LIMIT:
            return None
        try:
            return done.stdout.decode()
        except UnicodeDecodeError:
            return None
