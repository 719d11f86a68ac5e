"""Bash as the judge: which commands a line runs, with which words, and which files it opens for writing.

No program can be found. Each builtin that lines may use is a function that notes how it was called, the other builtins
are switched off, and what is not found is noted, too. Redirections and `cd` are real.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

HOME = "/nonexistent"
"""The home folder of the lines."""

Calls: TypeAlias = Counter[tuple[str, ...]]

_KEPT = {"builtin", "cd", "eval", "exec", "printf", "return"}
_PRELUDE = """
exec 3>"$NOTES"
note() { builtin printf '%s\\0' "$N" "$@" $'\\1' >&3; }
command_not_found_handle() { note "$@"; return "$STATUS"; }
cd() { note cd "$@"; builtin cd "$@" 2>/dev/null; }
eval() { note eval "$@"; }
exec() { note exec "$@"; }
printf() { note printf "$@"; return "$STATUS"; }
set -f; PATH=/nonexistent
enable -n BUILTINS
for LINE; do N=$((N+1)); ( builtin eval "$LINE" ); done
"""


def _builtins() -> list[str]:
    listed = subprocess.run(["bash", "-c", "compgen -b"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if name not in _KEPT]


class BashOracle:
    """Runs lines in `root`; notes go to a file in `place`, which is outside of it."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root = root
        self._notes = place / "notes"
        self._script = _PRELUDE.replace("BUILTINS", " ".join(_builtins()))

    def run(self, lines: Sequence[str], *, status: int) -> list[Calls]:
        """The simple commands that each line ran, each of which ended with `status`."""
        self._notes.write_bytes(b"")
        subprocess.run(
            ["bash", "--norc", "-c", self._script, "bash", *lines],
            cwd=self._root,
            env={"NOTES": str(self._notes), "STATUS": str(status), "N": "-1", "HOME": HOME, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        found: list[Calls] = [Counter() for _ in lines]
        for call in self._notes.read_bytes().decode().split("\x01\0"):
            if call:
                number, *argv = call.split("\0")[:-1]
                found[int(number)][tuple(argv)] += 1
        return found


def snapshot(place: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder below `place`, with its kind, size and time."""
    found = {}
    for path in place.rglob("*"):
        status = path.lstat()
        size = 0 if path.is_dir() and not path.is_symlink() else status.st_size
        changed = 0 if path.is_dir() and not path.is_symlink() else status.st_mtime_ns
        found[str(path)] = (status.st_mode, size, changed)
    return found


def differences(before: dict[str, tuple[int, int, int]], after: dict[str, tuple[int, int, int]]) -> set[str]:
    """The paths that were made, removed or changed."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
