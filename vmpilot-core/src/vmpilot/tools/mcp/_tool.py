"""The tools of MCP servers, and the one that asks the user to approve changes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmpilot.contract import Acts, ToolOutcome, ToolSpec, ToolUse
from vmpilot.tools.mcp._definitions import Definition
from vmpilot.tools.mcp._naming import shown_arguments, visible_line
from vmpilot.tools.mcp._server import ACCEPT_TOOL, Server


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
