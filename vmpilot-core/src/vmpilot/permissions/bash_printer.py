"""What bash itself reads in a line: the same commands, written again by `bash --pretty-print`, which runs nothing.

Comments, continued lines and spacing are gone from what it prints, so a parser that reads the printed line otherwise
than the original one read the original wrongly.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from vmpilot.permissions.shfmt_parser import PARSER_TIMEOUT, ParserFailed

_OUTPUT_LIMIT = 1_000_000


class BashPrinter:
    """Reads lines with the first bash on `search_path` (os.defpath if empty), which takes 2 ms."""

    def __init__(self, search_path: str = "") -> None:
        # Only absolute folders: a relative one would be searched in the folder that a command runs in.
        folders = [folder for folder in search_path.split(os.pathsep) if folder.startswith("/")]
        self._program = shutil.which("bash", path=os.pathsep.join(folders) or os.defpath)

    def print_line(self, line: str) -> str | None:
        """The line as bash writes it; None if that is not correct bash. Raises `ParserFailed`."""
        if self._program is None:
            raise ParserFailed("bash is not installed")
        try:
            # Read from a file: with -c, bash would run the line. -n is a second guard against the same.
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
            raise ParserFailed(f"bash could not read it: {error}") from error
        if done.returncode != 0 or done.stderr or len(done.stdout) > _OUTPUT_LIMIT:
            return None
        try:
            return done.stdout.decode()
        except UnicodeDecodeError:
            return None
