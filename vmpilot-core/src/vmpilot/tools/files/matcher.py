"""Searches files for a regular expression, in a process of its own: one that goes wild can be ended. A script.

Argument 1 is the expression, 2 is "i" to ignore case. Standard input: paths below the working folder, each before a
NUL. Standard output: `PATH NUL LINE:COLUMN:OFFSET` per matching line (in bytes; from 1, 1 and 0), `PATH NUL !` for a
file that cannot be read. A file with a NUL at its beginning is binary and left out, as ripgrep does.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_HEAD = 65_536
_LONGEST_LINE = 10_000_000


def main() -> None:
    """Search the files that standard input names."""
    pattern = re.compile(sys.argv[1], re.IGNORECASE if sys.argv[2:] == ["i"] else 0)
    output = sys.stdout.buffer
    for path in _read_paths(sys.stdin.buffer):
        try:
            with _open_below(path) as file:
                for number, column, offset in _search(file, pattern):
                    output.write(b"%s\0%d:%d:%d\n" % (path, number, column, offset))
                    output.flush()
        except OSError:
            output.write(b"%s\0!\n" % path)
    output.flush()


def _read_paths(source: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while piece := os.read(source.fileno(), 65_536):
        *whole, rest = (rest + piece).split(b"\0")
        yield from whole


def _open_below(path: bytes) -> BinaryIO:
    *folders, name = path.split(b"/")
    folder = os.open(b".", _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(path)
        return open(os.open(name, _FILE, dir_fd=folder), "rb", buffering=1 << 18)  # noqa: PTH123  a descriptor
    finally:
        os.close(folder)


def _search(file: BinaryIO, pattern: re.Pattern[str]) -> Iterator[tuple[int, int, int]]:
    number = offset = 0
    while line := file.readline(_LONGEST_LINE):
        if not offset and b"\0" in line + file.peek(_HEAD)[:_HEAD]:  # type: ignore[attr-defined]  # it is buffered
            return
        number += 1
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="surrogateescape")
        match = pattern.search(text)
        if match:
            yield number, len(text[: match.start()].encode(errors="surrogateescape")) + 1, offset
        offset += len(line)


if __name__ == "__main__":
    main()
