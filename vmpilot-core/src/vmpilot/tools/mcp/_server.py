"""One configured server over the life of VMPilot: started when it is needed, started anew when it went away.

What it lists is compared with what was approved each time: a tool that is not what it was is not called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vmpilot.config.mcp_servers import McpServer
from vmpilot.contract import ToolError, ToolOutcome
from vmpilot.tools.mcp._connection import Connection, McpError
from vmpilot.tools.mcp._definitions import Changes, Definition, DefinitionFolder, Kept, read_definitions
from vmpilot.tools.mcp._naming import cut, visible, visible_line

ACCEPT_TOOL = "mcp_accept_changes"

_LONGEST_PAUSE = 300.0
_LEARNING_PAUSE = 600.0
"""Seconds in which no turn waits again for a server that could not be asked for its tools."""
_PROGRESS_LINES = 200


@dataclass(frozen=True, slots=True)
class ServerReport:
    """How a server does: how many of its tools can be used, None if it does not work, and what is wrong with it."""

    name: str
    place: str
    tools: int | None
    problems: tuple[str, ...]


class Server:
    """A server by the name in the configuration. `problem` is what went wrong last, None once it works.

    `news` are the problems that came up and that no one has taken from it yet.
    """

    def __init__(
        self,
        name: str,
        settings: McpServer,
        *,
        environment: Mapping[str, str],
        kept: DefinitionFolder,
        on_notice: Callable[[str], None],
    ) -> None:
        self.name = name
        self.settings = settings
        self.problem: str | None = None
        self.news: list[str] = []
        self.changes: Changes | None = None
        self._environment = environment
        self._folder = kept
        self._on_notice = on_notice
        self._connecting = asyncio.Lock()
        self._connection: Connection | None = None
        self._suspect = False
        self._failures = 0
        self._not_before = 0.0
        self._learn_from = 0.0

    def approved(self) -> tuple[Definition, ...] | None:
        """The definitions that may be used, None where the server was never asked."""
        kept = self._load()
        return None if kept is None else kept.tools

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, as far as is known, also from earlier runs."""
        kept = self._load()
        found = [self.problem] if self.problem else []
        found += kept.faults if kept is not None else ()
        if self.changes is not None:
            found.append(_waiting(self.changes))
        return tuple(found)

    def offered(self) -> tuple[Definition, ...]:
        """Those of them that are still what the server has, as far as is known."""
        changed = self.changes.names if self.changes else frozenset()
        return tuple(definition for definition in self.approved() or () if definition.name not in changed)

    async def learn(self) -> None:
        """Ask the server for its tools, unless that was done before, or has just failed."""
        now = asyncio.get_running_loop().time()
        if now >= self._learn_from and self.approved() is None:
            try:
                await self._connect()
            except ToolError:
                self.news.append(str(self.problem))
                self._learn_from = asyncio.get_running_loop().time() + _LEARNING_PAUSE

    async def check(self) -> ServerReport:
        """Start it and compare its tools with what was approved, as a call does."""
        try:
            await self._connect()
        except ToolError:
            return ServerReport(self.name, self.settings.place, None, self.problems)
        return ServerReport(self.name, self.settings.place, len(self.offered()), self.problems)

    async def call(self, tool: str, arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        """Call a tool by the server's name for it. Raises `ToolError`."""
        connection = await self._connect()
        self._check(tool)
        try:
            outcome = await connection.call_tool(tool, arguments, _Progress(on_output))
        except McpError as problem:
            self._suspect = True
            if problem.lost:
                self._note_failure(str(problem))
            raise self._said(str(problem)) from problem
        self._failures = 0
        return outcome

    def accept(self, digest: str) -> tuple[Definition, ...]:
        """The person approved the changes with this digest. Gives those that are new or changed.

        Raises `ToolError` where there are no such changes.
        """
        changes = self.find_changes(digest)
        try:
            self._save(changes.listed, self._faults())
        except OSError as error:
            raise self._said(f"what was approved could not be kept ({error})") from error
        self.changes = None
        return tuple(definition for definition in changes.listed if definition.name in changes.names)

    def find_changes(self, digest: str) -> Changes:
        """Raises `ToolError` where there are no such changes."""
        if self.changes is None:
            raise self._said("nothing of it waits for approval")
        if self.changes.digest != digest:
            raise self._said(f'what waits for approval is the change "{self.changes.digest}"')
        return self.changes

    async def close(self) -> None:
        """End it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> Connection:
        async with self._connecting:
            if self._connection is not None and not await self._is_usable(self._connection):
                await self.close()
            if self._connection is None:
                self._connection = await self._open()
            elif self._connection.tools_changed:
                await self._compare(self._connection)
            self._suspect = False
            return self._connection

    async def _is_usable(self, connection: Connection) -> bool:
        return connection.alive and (not self._suspect or await connection.answers())

    async def _open(self) -> Connection:
        if seconds := self._wait():
            raise self._said(f"it failed ({self.problem}), and is tried again in {seconds:.0f} s")
        self._on_notice(f"starting the MCP server {self.name}")
        try:
            connection = await Connection.open(self.settings, self._environment)
        except McpError as problem:
            self._note_failure(str(problem))
            raise self._said(str(problem)) from problem
        try:
            await self._compare(connection)
        except BaseException:
            await connection.close(hurry=True)
            raise
        return connection

    async def _compare(self, connection: Connection) -> None:
        """Look at what the server has now. The first time is the approval: the user named the server."""
        try:
            listing = await connection.list_tools()
        except McpError as problem:
            self._note_failure(f"its tools could not be listed: {problem}")
            raise self._said(str(self.problem)) from problem
        listed, faults = read_definitions(self.name, listing.tools)
        faults = (*listing.faults, *faults)
        self.problem = None
        approved = self.approved()
        self._keep(listed if approved is None else approved, faults)
        if approved is not None:
            self._note_changes(Changes(approved, listed))

    def _keep(self, tools: tuple[Definition, ...], faults: tuple[str, ...]) -> None:
        kept = self._load()
        self.news += (fault for fault in faults if kept is None or fault not in kept.faults)
        if kept is not None and kept.faults == faults:
            return
        try:
            self._save(tools, faults)
        except OSError as error:
            if kept is None:
                self.problem = f"its tools could not be kept ({error})"
                raise self._said(self.problem) from error

    def _note_changes(self, changes: Changes) -> None:
        if changes.names and (self.changes is None or self.changes.digest != changes.digest):
            self.news.append(_waiting(changes))
        self.changes = changes if changes.names else None

    def _load(self) -> Kept | None:
        return self._folder.load(self.name, self.settings.fingerprint)

    def _save(self, tools: tuple[Definition, ...], faults: tuple[str, ...]) -> None:
        self._folder.save(self.name, Kept(self.settings.fingerprint, tools, faults))

    def _faults(self) -> tuple[str, ...]:
        kept = self._load()
        return () if kept is None else kept.faults

    def _check(self, tool: str) -> None:
        if self.changes is not None and tool in self.changes.names:
            arguments = f'{{"server": "{self.name}", "change": "{self.changes.digest}"}}'
            raise self._said(
                f"its tool {visible_line(tool)} is not what the user approved any more, so it was not called. "
                f"To have the user asked, call {ACCEPT_TOOL} with {arguments}"
            )

    def _wait(self) -> float:
        """Seconds until it may be started again."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    def _note_failure(self, problem: str) -> None:
        """The first failure is tried again at once; after more the pauses double."""
        self.problem = problem
        self._failures += 1
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE) if self._failures > 1 else 0.0
        self._not_before = asyncio.get_running_loop().time() + pause

    def _said(self, what: str) -> ToolError:
        return ToolError(f"MCP server {self.name}: {what}")


def _waiting(changes: Changes) -> str:
    names = ", ".join(visible_line(name) for name in sorted(changes.names))
    return f"not what you approved any more, and not offered: {names}"


class _Progress:
    """Passes a server's notices of progress on as live output, as many as a person would read."""

    def __init__(self, on_output: Callable[[str], None]) -> None:
        self._on_output = on_output
        self._lines = 0

    def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self._lines += 1
        if self._lines <= _PROGRESS_LINES:
            counted = f"{progress:g} of {total:g}" if total else f"{progress:g}"
            self._on_output(f"[{counted}] {cut(visible(message or ''), 500)}".rstrip() + "\n")
