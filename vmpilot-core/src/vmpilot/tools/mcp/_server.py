"""One configured server: started when needed, and restarted if it has exited.

Its tools are compared with the approved ones at each start: a changed tool is not called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vmpilot.config import McpServer
from vmpilot.contract import ToolError, ToolOutcome
from vmpilot.tools.mcp._connection import Connection, McpError
from vmpilot.tools.mcp._definitions import Changes, Definition, DefinitionFolder, Kept, read_definitions
from vmpilot.tools.mcp._naming import cut, visible, visible_line

ACCEPT_TOOL = "mcp_accept_changes"

_LONGEST_PAUSE = 300.0
_LEARNING_PAUSE = 600.0
"""Seconds before a turn waits again for a server whose tools could not be listed."""
_PROGRESS_LINES = 200


@dataclass(frozen=True, slots=True)
class ServerReport:
    """The state of a server: the number of usable tools, None if it does not work, and its problems."""

    name: str
    place: str
    tools: int | None
    problems: tuple[str, ...]


class Server:
    """A server under its name in the configuration. `problem` is its last failure, or None once it works.

    `news` are new problems that have not been reported yet.
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
        """The approved definitions, or None if the server's tools have never been listed."""
        kept = self._load()
        return None if kept is None else kept.tools

    @property
    def problems(self) -> tuple[str, ...]:
        """Its known problems, including those of earlier runs."""
        kept = self._load()
        found = [self.problem] if self.problem else []
        found += kept.faults if kept is not None else ()
        if self.changes is not None:
            found.append(_waiting(self.changes))
        return tuple(found)

    def offered(self) -> tuple[Definition, ...]:
        """The approved definitions that have not changed, as far as is known."""
        changed = self.changes.names if self.changes else frozenset()
        return tuple(definition for definition in self.approved() or () if definition.name not in changed)

    async def learn(self) -> None:
        """List the server's tools, unless they are known or listing has just failed."""
        now = asyncio.get_running_loop().time()
        if now >= self._learn_from and self.approved() is None:
            try:
                await self._connect()
            except ToolError:
                self.news.append(str(self.problem))
                self._learn_from = asyncio.get_running_loop().time() + _LEARNING_PAUSE

    async def check(self) -> ServerReport:
        """Start it and compare its tools with the approved ones, as a call does."""
        count = None
        with suppress(ToolError):
            await self._connect()
            count = len(self.offered())
        return ServerReport(self.name, self.settings.place, count, self.problems)

    async def call(self, tool: str, arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        """Call a tool by the server's name for it. Raises `ToolError`."""
        connection = await self._connect()
        if self.changes is not None and tool in self.changes.names:
            change = f'{{"server": "{self.name}", "change": "{self.changes.digest}"}}'
            raise self._error(
                f"its tool {visible_line(tool)} is no longer what the user approved, so it was not called. "
                f"To ask the user, call {ACCEPT_TOOL} with {change}"
            )
        try:
            outcome = await connection.call_tool(tool, arguments, _Progress(on_output))
        except McpError as problem:
            self._suspect = True
            if problem.lost:
                self._note_failure(str(problem))
            raise self._error(str(problem)) from problem
        self._failures = 0
        return outcome

    def accept(self, digest: str) -> tuple[Definition, ...]:
        """Approve the changes with this digest. Returns the new and changed definitions.

        Raises `ToolError` if there are no such changes.
        """
        changes = self.find_changes(digest)
        try:
            kept = self._load()
            self._save(changes.listed, () if kept is None else kept.faults)
        except OSError as error:
            raise self._error(f"the approval could not be saved ({error})") from error
        self.changes = None
        return tuple(definition for definition in changes.listed if definition.name in changes.names)

    def find_changes(self, digest: str) -> Changes:
        """The changes with this digest. Raises `ToolError` for an unknown digest."""
        if self.changes is None:
            raise self._error("no change is waiting for approval")
        if self.changes.digest != digest:
            raise self._error(f'the change waiting for approval is "{self.changes.digest}"')
        return self.changes

    async def close(self) -> None:
        """End it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> Connection:
        async with self._connecting:
            if self._connection is not None and (
                not self._connection.alive or (self._suspect and not await self._connection.answers())
            ):
                await self.close()
            if self._connection is None:
                self._connection = await self._open()
            elif self._connection.tools_changed:
                await self._compare(self._connection)
            self._suspect = False
            return self._connection

    async def _open(self) -> Connection:
        if (seconds := self._not_before - asyncio.get_running_loop().time()) > 0:
            raise self._error(f"it failed ({self.problem}); next try in {seconds:.0f} s")
        self._on_notice(f"starting the MCP server {self.name}")
        try:
            connection = await Connection.open(self.settings, self._environment)
        except McpError as problem:
            self._note_failure(str(problem))
            raise self._error(str(problem)) from problem
        try:
            await self._compare(connection)
        except BaseException:
            await connection.close(hurry=True)
            raise
        return connection

    async def _compare(self, connection: Connection) -> None:
        """Compare the server's tools with the approved ones. The first list counts as approved by the configuration."""
        try:
            listing = await connection.list_tools()
        except McpError as problem:
            self._note_failure(f"its tools could not be listed: {problem}")
            raise self._error(str(self.problem)) from problem
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
                self.problem = f"its tools could not be saved ({error})"
                raise self._error(self.problem) from error

    def _note_changes(self, changes: Changes) -> None:
        if changes.names and (self.changes is None or self.changes.digest != changes.digest):
            self.news.append(_waiting(changes))
        self.changes = changes if changes.names else None

    def _load(self) -> Kept | None:
        return self._folder.load(self.name, self.settings.fingerprint)

    def _save(self, tools: tuple[Definition, ...], faults: tuple[str, ...]) -> None:
        self._folder.save(self.name, Kept(self.settings.fingerprint, tools, faults))

    def _note_failure(self, problem: str) -> None:
        """The first failure is retried at once; after further failures, the pauses double."""
        self.problem = problem
        self._failures += 1
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE) if self._failures > 1 else 0.0
        self._not_before = asyncio.get_running_loop().time() + pause

    def _error(self, what: str) -> ToolError:
        return ToolError(f"MCP server {self.name}: {what}")


def _waiting(changes: Changes) -> str:
    names = ", ".join(visible_line(name) for name in sorted(changes.names))
    return f"changed since you approved it, so not offered: {names}"


class _Progress:
    """Passes a server's progress on as live output, up to a readable number of lines."""

    def __init__(self, on_output: Callable[[str], None]) -> None:
        self._on_output = on_output
        self._lines = 0

    def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self._lines += 1
        if self._lines <= _PROGRESS_LINES:
            counted = f"{progress:g} of {total:g}" if total else f"{progress:g}"
            self._on_output(f"[{counted}] {cut(visible(message or ''), 500)}".rstrip() + "\n")
