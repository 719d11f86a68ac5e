"""A folder to run a task in without touching the user's own: a git worktree, or a copy."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

from vmpilot.contract import UsageError
from vmpilot.lab.comparison._git import find_repository, run_git

LARGEST_COPY = 2 * 1024**3
"""Bytes of the largest folder that is copied."""

Snapshot: TypeAlias = Mapping[str, tuple[int, int, int]]
"""Each file by its path below the root: its size, the time of its last change (ns) and its mode."""


@dataclass(frozen=True, slots=True)
class Worktree:
    """`folder` is where to work; `root` contains it and everything that was copied."""

    folder: Path
    root: Path
    is_worktree: bool
    before: Snapshot

    async def changed_files(self) -> tuple[str, ...]:
        """The files that were added, removed or changed, except those that git ignores."""
        after = await asyncio.to_thread(take_snapshot, self.root)
        names = sorted({name for name, _ in set(self.before.items()) ^ set(after.items())})
        if not self.is_worktree or not names:
            return tuple(names)
        asked = "\0".join(names).encode(errors="surrogateescape")
        printed = await run_git(self.root, "check-ignore", "-z", "--stdin", standard_input=asked, may_fail=True)
        ignored = set(printed.decode(errors="surrogateescape").split("\0"))
        return tuple(name for name in names if name not in ignored)


@asynccontextmanager
async def open_worktree(folder: Path, *, keep: bool = False) -> AsyncIterator[Worktree]:
    """A worktree of `folder` in its current state: all files of a git repository that are not ignored, or a copy.

    It is removed at the end unless `keep` is set. Raises `UsageError` if it cannot be created.
    """
    parent = Path(tempfile.mkdtemp(prefix="vmpilot-compare-"))
    root = parent / folder.name
    repository = await find_repository(folder)
    try:
        if repository is None:
            await asyncio.to_thread(_copy, folder, root)
        else:
            await _add_worktree(repository, root)
        inside = root if repository is None else root / folder.relative_to(repository)
        inside.mkdir(parents=True, exist_ok=True)  # git does not track an empty folder
        before = await asyncio.to_thread(take_snapshot, root)
        yield Worktree(inside, root, repository is not None, before)
    finally:
        if not keep:
            await asyncio.shield(_remove(parent, root, repository))


def take_snapshot(root: Path) -> Snapshot:
    """The current state of the files below `root`."""
    return {name: (status.st_size, status.st_mtime_ns, status.st_mode) for name, status in _walk(root)}


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, folders, files in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
        for name in files:
            path = Path(folder, name)
            if path != root / ".git":  # a file in a worktree
                with suppress(FileNotFoundError):  # deleted in the meantime
                    yield str(path.relative_to(root)), path.lstat()


async def _add_worktree(repository: Path, root: Path) -> None:
    """Check out the last commit with all changes since; the user's own index and files are not changed."""
    changed = await _commit_changes(repository, index=root.with_name(f"{root.name}.index"))
    await run_git(repository, "worktree", "add", "--quiet", "--detach", str(root), changed or "HEAD")
    new = await run_git(repository, "ls-files", "--others", "--exclude-standard", "-z")
    names = [name for name in new.decode(errors="surrogateescape").split("\0") if name]
    await asyncio.to_thread(_copy_files, repository, root, names)


async def _commit_changes(repository: Path, *, index: Path) -> str:
    """A commit of the changes that is on no branch and in no stash; empty if nothing changed.

    Git updates the index that it reads, so it gets a copy of the user's.
    """
    printed = await run_git(repository, "rev-parse", "--path-format=absolute", "--git-path", "index")
    with suppress(FileNotFoundError):  # an empty index need not exist
        await asyncio.to_thread(shutil.copyfile, printed.decode(errors="surrogateescape").rstrip("\n"), index)
    return (await run_git(repository, "stash", "create", index=index)).decode().strip()


def _copy_files(source: Path, target: Path, names: list[str]) -> None:
    for name in names:
        path, copy = source / name, target / name
        if stat.S_ISREG(path.lstat().st_mode) or path.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy, follow_symlinks=False)


def _copy(folder: Path, root: Path) -> None:
    for size in accumulate(status.st_size for _, status in _walk(folder)):
        if size > LARGEST_COPY:
            raise UsageError(
                f"{folder} is larger than {LARGEST_COPY >> 20:,} MiB, the limit for a copy. "
                f"Make it a git repository, or choose a smaller folder with --cwd."
            )
    try:
        shutil.copytree(folder, root, symlinks=True, ignore=_special_files)
    except (OSError, shutil.Error) as error:
        raise UsageError(f"Cannot copy {folder}: {error}") from error


def _special_files(folder: str, names: list[str]) -> set[str]:
    """Pipes, sockets and devices, which may block when they are opened."""
    modes = ((name, Path(folder, name).lstat().st_mode) for name in names)
    return {name for name, mode in modes if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))}


async def _remove(parent: Path, root: Path, repository: Path | None) -> None:
    await asyncio.to_thread(shutil.rmtree, parent, ignore_errors=True)
    if repository is not None:
        await run_git(repository, "worktree", "remove", "--force", str(root), may_fail=True)
        await run_git(repository, "worktree", "prune", may_fail=True)
