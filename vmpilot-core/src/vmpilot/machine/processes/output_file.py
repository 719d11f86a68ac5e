"""Long outputs in files that the model can read: private, bounded in size, removed by age."""

import os
import time
from contextlib import suppress
from pathlib import Path

_FILE_LIMIT = 16 * 1024 * 1024
_FOLDER_LIMIT = 128 * 1024 * 1024
_TREE_LIMIT = 512 * 1024 * 1024
_LONGEST_AGE = 14 * 24 * 3600.0
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


class OutputFile:
    """A file that is created with the first text; bytes beyond `limit` are left out.

    Text must be masked already. If the folder is not writable, there is no file and no error.
    """

    def __init__(self, folder: Path, *, limit: int = _FILE_LIMIT) -> None:
        self._folder = folder
        self._room = limit
        self._descriptor: int | None = None
        self.path: Path | None = None
        self.whole = True

    def append(self, text: str) -> None:
        """Append `text`."""
        if not self.whole or not text:
            return
        data = text.encode(errors="replace")
        try:
            if self._descriptor is None:
                self.path, self._descriptor = _create_file(self._folder)
            os.write(self._descriptor, data[: self._room])
        except OSError:  # the disk is full, the folder is not ours
            self.whole = False
            return
        self.whole = len(data) <= self._room
        self._room -= min(len(data), self._room)

    def close(self) -> None:
        """Nothing more is appended; the file stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def tidy_outputs(root: Path, *, now: float | None = None) -> None:
    """Remove files in the folders of `root` that are older than 14 days and, oldest first, those beyond 512 MiB.

    For the start of a conversation. Files that cannot be removed stay.
    """
    files = sorted((_age_and_size(path) for path in root.glob("*/*.txt")), reverse=True)
    total = 0
    for changed, size, path in files:
        total += size
        if changed < (now or time.time()) - _LONGEST_AGE or total > _TREE_LIMIT:
            _remove(path)
    for folder in root.glob("*/"):
        with suppress(OSError):  # not empty
            folder.rmdir()


def _create_file(folder: Path) -> tuple[Path, int]:
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    files = sorted((_age_and_size(path) for path in folder.glob("*.txt")), reverse=True)
    total = _FILE_LIMIT
    for _, size, path in files:  # the oldest are removed, so that one more file fits into the folder's limit
        total += size
        if total > _FOLDER_LIMIT:
            _remove(path)
    number = max((int(path.stem) for _, _, path in files if path.stem.isdecimal()), default=0)
    while True:
        number += 1
        path = folder / f"{number}.txt"
        with suppress(FileExistsError):
            return path, os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE_FILE
            )


def _age_and_size(path: Path) -> tuple[float, int, Path]:
    try:
        status = path.lstat()
    except OSError:
        return 0.0, 0, path
    return status.st_mtime, status.st_size, path


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
