"""All configured servers: their tools for a turn, their problems, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from vmpilot.config import McpSettings
from vmpilot.contract import Tool
from vmpilot.installation import install_command
from vmpilot.tools.mcp._definitions import MOST_TOOLS, DefinitionFolder
from vmpilot.tools.mcp._server import Server, ServerReport
from vmpilot.tools.mcp._tool import AcceptChanges, McpTool

_MOST_NEWS = 10


class McpServers:
    """The servers of the user's configuration. A server starts when it is needed; `close` ends all.

    `folder` stores the approved definitions. Servers get a scrubbed part of `environment`, which is VMPilot's own.
    `on_notice` gets a phrase for everything that takes a while.
    """

    def __init__(
        self,
        settings: McpSettings,
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_notice: Callable[[str], None] = lambda _notice: None,
    ) -> None:
        kept = DefinitionFolder(folder)
        self._servers = tuple(
            Server(name, server, environment=environment, kept=kept, on_notice=on_notice)
            for name, server in settings.servers.items()
            if server.enabled
        )
        self._left_out: list[str] = []
        self._reported: set[str] = set()

    @property
    def unavailable_reason(self) -> str | None:
        """Why no server can be used although some are configured, None otherwise."""
        if self._servers and find_spec("mcp") is None:
            return (
                "MCP servers are configured, but the library for them is missing: "
                f"run `{install_command('vmpilot-core[mcp]')}`"
            )
        return None

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems, a sentence each for the user; complete after `tools`."""
        found = [self.unavailable_reason] if self.unavailable_reason else []
        found += [_named(server, problem) for server in self._servers for problem in server.problems]
        return (*found, *self._left_out)

    def take_news(self) -> tuple[str, ...]:
        """The new problems since the last call, each one once; at most ten and how many more."""
        found = [self.unavailable_reason] if self.unavailable_reason else []
        for server in self._servers:
            found += [_named(server, problem) for problem in server.news]
            server.news.clear()
        news = [problem for problem in dict.fromkeys((*found, *self._left_out)) if problem not in self._reported]
        self._reported.update(news)
        more = len(news) - _MOST_NEWS
        return tuple(news) if more <= 0 else (*news[:_MOST_NEWS], f"{more} more problems: see `vmpilot tools`")

    async def check(self) -> tuple[ServerReport, ...]:
        """Start all servers concurrently and report on each."""
        if reason := self.unavailable_reason:
            return tuple(ServerReport(each.name, each.settings.place, None, (reason,)) for each in self._servers)
        return tuple(await asyncio.gather(*(server.check() for server in self._servers)))

    async def tools(self) -> tuple[Tool, ...]:
        """The tools to offer in a turn. Starts servers whose tools are not known yet."""
        if not self._servers or self.unavailable_reason:
            return ()
        await asyncio.gather(*(server.learn() for server in self._servers))
        tools: list[Tool] = [McpTool(server, each) for server in self._servers for each in server.offered()]
        self._left_out = [
            f"{tool.spec.name} is skipped: all MCP servers together may have at most {MOST_TOOLS} tools"
            for tool in tools[MOST_TOOLS:]
        ]
        waiting = any(server.changes is not None for server in self._servers)
        return (*tools[:MOST_TOOLS], AcceptChanges(self._servers)) if tools or waiting else ()

    async def close(self) -> None:
        """End all servers concurrently; takes at most 1.5 seconds."""
        await asyncio.gather(*(server.close() for server in self._servers))


def _named(server: Server, problem: str) -> str:
    return f"MCP server {server.name} ({server.settings.place}): {problem}"
