"""All configured MCP servers: their tools for a turn, their problems, and their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmpilot.config import McpSettings
from vmpilot.contract import Acts, Tool, ToolOutcome, ToolSpec, ToolUse
from vmpilot.installation import install_command
from vmpilot.tools.mcp._definitions import MOST_TOOLS, Definition, DefinitionFolder
from vmpilot.tools.mcp._naming import shown_arguments, visible_line
from vmpilot.tools.mcp._server import ACCEPT_TOOL, Server, ServerReport


class McpTool:
    """One tool of one server. The server's own hints that it is harmless (annotations) are ignored."""

    folder = None

    def __init__(self, server: Server, definition: Definition) -> None:
        self._server = server
        self._definition = definition
        self.spec = definition.spec(server.name)

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"MCP server {self._server.name}: {visible_line(self._definition.name)} {shown_arguments(arguments)}"

    def effect(self, arguments: Mapping[str, Any]) -> Acts:  # noqa: ARG002  any arguments
        return Acts(visible_line(self._definition.name))

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        return await self._server.call(self._definition.name, arguments, use.on_output)


class AcceptChanges:
    """Asks the user to approve changed tools of a server; its title shows all changes."""

    folder = None

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = {server.name: server for server in servers}
        known = [
            f'{{"server": "{server.name}", "change": "{server.changes.digest}"}} ({len(server.changes.names)} tools)'
            for server in servers
            if server.changes is not None
        ]
        waiting = ", ".join(known) or "none so far"
        self.spec = ToolSpec(
            name=ACCEPT_TOOL,
            description=(
                "Ask the user to approve changed tools of an MCP server, which cannot be called until then. Only use "
                f"values from a tool's result, or these: {waiting}."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "server": {"type": "string", "enum": sorted(self._servers)},
                    "change": {"type": "string", "description": "The change, as the result named it."},
                },
                "required": ["server", "change"],
                "additionalProperties": False,
            },
        )

    def title(self, arguments: Mapping[str, Any]) -> str:
        changes = self._find(arguments).changes
        if changes is None or changes.digest != arguments["change"]:
            return f"Nothing to approve for {shown_arguments(arguments)}"
        return f"Approve the changed tools of the MCP server {arguments['server']}:\n{changes.describe()}"

    def effect(self, arguments: Mapping[str, Any]) -> Acts:
        self._find(arguments).find_changes(arguments["change"])
        return Acts(f"{arguments['server']} {arguments['change']}")

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002
        server = self._find(arguments)
        specs = [definition.spec(server.name) for definition in server.accept(arguments["change"])]
        accepted = [f"{spec.name}: {spec.description}\n{json.dumps(spec.parameters)}" for spec in specs]
        return ToolOutcome("Approved. These tools can be called now:\n" + ("\n".join(accepted) or "none"))

    def _find(self, arguments: Mapping[str, Any]) -> Server:
        return self._servers[arguments["server"]]


_MOST_NEWS = 10


class McpServers:
    """The servers of the user's configuration. A server starts when it is needed; `close` ends all.

    `folder` stores the approved definitions. Servers get a scrubbed part of `environment`, which is VMPilot's own.
    `on_notice` receives a phrase for each slow operation.
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
        """Why no server can be used although some are configured, or None."""
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
        """The new problems since the last call, each one once; up to ten, and the number of further ones."""
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
