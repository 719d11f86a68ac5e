"""Runs one search to its end, its time limit, or more matches than anybody wants; nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.machine.workspace import open_regular, opened_folder, show_name
from vmpilot.tools.files.engines import (
    Query,
    bad_expression,
    find_ripgrep,
    matcher_command,
    refuse_other_dialects,
    ripgrep_command,
)
from vmpilot.tools.files.kinds import describe_binary
from vmpilot.tools.files.places import Place, PlaceReader, Unreadable, read_complaints
from vmpilot.tools.files.text import HEAD
from vmpilot.tools.files.walk import Walk
from vmpilot.tools.files.watch import Stopped, Watch, run_in_thread

SECONDS = 20.0
KEPT = 200
COUNTED = 10_000
_COMPLAINTS = 65_536
_PIECE = 65_536


class _TooOld(Exception):
    """This ripgrep does not know the options that we give it."""


@dataclass(frozen=True, slots=True)
class Search:
    """A resolved file or folder, what is searched for there, and which paths count (None: all)."""

    path: Path
    query: Query
    wanted: re.Pattern[str] | None = None


@dataclass(slots=True)
class Found:
    """The first matching lines, how many there are, and what went wrong."""

    places: list[Place] = field(default_factory=list)
    count: int = 0
    files: int = 0
    unreadable: list[str] = field(default_factory=list)
    timed_out: bool = False
    last: str = ""

    @property
    def is_full(self) -> bool:
        """Whether counting was given up."""
        return self.count >= COUNTED

    def add(self, place: Place) -> None:
        """One more matching line."""
        self.count += 1
        self.files += place.path != self.last
        self.last = place.path
        if len(self.places) < KEPT:
            self.places.append(place)


class Searcher:
    """Searches with ripgrep where the environment's PATH has one outside of `root`, else with our own matcher."""

    def __init__(self, environment: Mapping[str, str], *, root: Path, seconds: float = SECONDS) -> None:
        self._environment = environment
        self._root = root
        self._seconds = seconds

    async def search(self, search: Search) -> Found:
        """Raises OSError for the path, `ToolError` for the pattern. Cancelled, it ends what it started."""
        ripgrep = find_ripgrep(self._environment, apart_from=self._root)
        refuse_other_dialects(search.query, with_ripgrep=ripgrep is not None)
        found = Found()
        try:
            async with asyncio.timeout(self._seconds):
                await self._search(search, found, ripgrep=ripgrep)
        except TimeoutError:
            found.timed_out = True
        except _TooOld:
            return await Searcher({}, root=self._root, seconds=self._seconds).search(search)
        return found

    async def _search(self, search: Search, found: Found, *, ripgrep: str | None) -> None:
        is_folder = stat.S_ISDIR(search.path.lstat().st_mode)
        name = None if is_folder else search.path.name
        with opened_folder(search.path if is_folder else search.path.parent) as folder:
            if name is not None:
                _refuse_binary(folder, name)
            if ripgrep is not None:
                command = ripgrep_command(ripgrep, search.query, folder=search.path, file=name)
                await self._collect(command, search, found, folder=folder)
            else:
                await self._search_ourselves(search, found, folder=folder, name=name)

    async def _search_ourselves(self, search: Search, found: Found, *, folder: int, name: str | None) -> None:
        reading, writing = os.pipe()
        feed = _Feed(writing, folder, search, name)
        feeding = asyncio.ensure_future(run_in_thread(feed.run, seconds=self._seconds))
        try:
            await self._collect(matcher_command(search.query), search, found, folder=folder, paths=reading)
        except BaseException:
            feeding.cancel()
            raise
        finally:
            os.close(reading)  # so that the thread waits for no reader
            if found.is_full:
                feeding.cancel()
            await asyncio.wait([feeding])
            found.unreadable += feed.unreadable
            found.timed_out = found.timed_out or feed.ended_early

    async def _collect(
        self, command: Sequence[str], search: Search, found: Found, *, folder: int, paths: int = DEVNULL
    ) -> None:
        async with _running(command, self._environment, folder=folder, paths=paths) as process:
            complaints = asyncio.ensure_future(_read_complaints(process))
            try:
                await _read_places(process, search, found)
                said = "" if found.is_full else await complaints
            finally:
                complaints.cancel()
                await asyncio.wait([complaints])
            code = 0 if found.is_full else await process.wait()
        if code not in {0, 1} and not found.count:
            _explain_failure(said, search.query)
        found.unreadable += [name for name in read_complaints(said) if name]


class _Feed:
    """Tells our matcher which files to search: the thread that walks the folder."""

    def __init__(self, pipe: int, folder: int, search: Search, name: str | None) -> None:
        self._pipe = pipe
        self._folder = folder
        self._search = search
        self._name = name
        self.unreadable: list[str] = []
        self.ended_early = False

    def run(self, watch: Watch) -> None:
        """Closes the pipe in the end. The matcher may be gone before that."""
        with suppress(BrokenPipeError, Stopped), open(self._pipe, "wb", buffering=4096) as pipe:  # noqa: PTH123
            pipe.writelines(os.fsencode(path) + b"\0" for path in self._paths(watch))

    def _paths(self, watch: Watch) -> Iterator[str]:
        if self._name is not None:
            yield self._name
            return
        walk = Walk(self._folder, self._search.path, watch)
        self.unreadable = walk.unreadable
        wanted = self._search.wanted
        yield from (
            entry.path for entry in walk if entry.kind == "file" and (wanted is None or wanted.fullmatch(entry.path))
        )
        self.ended_early = walk.ended_early


async def _read_places(process: Process, search: Search, found: Found) -> None:
    assert process.stdout is not None  # noqa: S101
    reader = PlaceReader()
    while not found.is_full and (piece := await process.stdout.read(_PIECE)):
        for place in reader.feed(piece):
            if isinstance(place, Unreadable):
                found.unreadable.append(place.path)
            elif search.wanted is None or search.wanted.fullmatch(place.path):
                found.add(place)


async def _read_complaints(process: Process) -> str:
    """The beginning of what the program wrote to standard error; the rest is read, so that it goes on."""
    assert process.stderr is not None  # noqa: S101
    said = b""
    while piece := await process.stderr.read(_PIECE):
        said += piece[: _COMPLAINTS - len(said)]
    return os.fsdecode(said)


@asynccontextmanager
async def _running(
    command: Sequence[str], environment: Mapping[str, str], *, folder: int, paths: int
) -> AsyncIterator[Process]:
    """The program at work in the folder; it is over when the block is."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=f"/proc/self/fd/{folder}",
            env=dict(environment),
            stdin=paths,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} could not be started to search: {error}. Use the shell (grep -rn).") from error
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # to the end of its pipes, or they are closed by the garbage collector


def _refuse_binary(folder: int, name: str) -> None:
    descriptor, _ = open_regular(folder, name)
    try:
        head = os.pread(descriptor, HEAD, 0)
    finally:
        os.close(descriptor)
    if b"\0" in head:
        raise ToolError(
            f"{show_name(name)} is no text: {describe_binary(head)}. Look into it with the shell (strings)."
        )


def _explain_failure(said: str, query: Query) -> None:
    """Raises what ripgrep's words mean; nothing where it merely could not read something."""
    if "regex parse error" in said or "regex" in said:
        raise bad_expression(query.pattern, said.strip().removeprefix("rg: ")[:500])
    if "argument" in said or "flag" in said:
        raise _TooOld
