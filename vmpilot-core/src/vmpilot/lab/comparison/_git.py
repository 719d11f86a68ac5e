"""The git commands that a comparison needs, without the hooks and helpers of the repository."""

from __future__ import annotations

import asyncio
from pathlib import Path

from vmpilot.contract import UsageError

_QUIET = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "user.name=vmpilot",
    "-c",
    "user.email=",
)


async def run_git(
    folder: Path, *arguments: str, standard_input: bytes = b"", index: Path | None = None, may_fail: bool = False
) -> bytes:
    """Run git and return its output; `index` replaces the repository's index.

    Raises `UsageError` with git's own message if it fails, unless it `may_fail`.
    """
    own_index = () if index is None else ("env", f"GIT_INDEX_FILE={index}")
    try:
        process = await asyncio.create_subprocess_exec(
            *own_index,
            "git",
            *_QUIET,
            "-C",
            str(folder),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        if may_fail:
            return b""
        raise UsageError("git is not on the PATH. Install it.") from None
    printed, complaint = await process.communicate(standard_input)
    if process.returncode and not may_fail:
        said = " ".join(complaint.decode(errors="replace").split())
        raise UsageError(f"git {arguments[0]} failed in {folder}: {said}")
    return b"" if process.returncode and not printed else printed


async def find_repository(folder: Path) -> Path | None:
    """The root of the git repository that contains the folder, if there is one with a commit."""
    printed = await run_git(folder, "rev-parse", "--show-toplevel", "--verify", "HEAD", may_fail=True)
    root, _, commit = printed.decode(errors="surrogateescape").partition("\n")
    return Path(root) if root.startswith("/") and commit.strip() else None
