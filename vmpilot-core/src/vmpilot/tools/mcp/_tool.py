"""Tools of MCP servers as the core uses them, and the one by which the user approves what has changed of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmpilot.contract import Acts, ToolOutcome, ToolSpec, ToolUse
from vmpilot.tools.mcp._definitions import Definition
from vmpilot.tools.mcp._naming import shown_arguments, visible_line
from vmpilot.tools.mcp._server import ACCEPT_TOOL, Server


class McpTool:
    """One tool of one server. What the server says of its harmlessness (annotations) counts for nothing."""

    folder = None

    def __init__(self, server: Server, definition: Definition) -> None:
        self._server = server
        self._definition = definition
        self.spec = definition.spec(server.name)

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"MCP server {self._server.name}: {visible_line(self._definition.name)} {shown_arguments(arguments)}"

    def effect(self, arguments: Mapping[str, Any]) -> Acts:  # noqa: ARG002  whatever they are
        return Acts(visible_line(self._definition.name))

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        return await self._server.call(self._definition.name, arguments, use.on_output)


class AcceptChanges:
    """Asks the user to approve what has changed of a server's tools: its title shows all of it."""

    folder = None

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = {server.name: server for server in servers}
        self.spec = ToolSpec(
            name=ACCEPT_TOOL,
            description=(
                "Ask the user to approve changed tools of an MCP server, which cannot be called before. Use it only "
                f"with values that the result of a tool gave you, or these: {_waiting(servers)}."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "server": {"type": "string", "enum": sorted(self._servers)},
                    "change": {"type": "string", "description": "The change's name, as the result gave it."},
                },
                "required": ["server", "change"],
                "additionalProperties": False,
            },
        )

    def title(self, arguments: Mapping[str, Any]) -> str:
        changes = self._find(arguments).changes
        if changes is None or changes.digest != arguments["change"]:
            return f"Approve nothing: {shown_arguments(arguments)} waits for no approval"
        return f"Approve the changed tools of the MCP server {arguments['server']}:\n{changes.describe()}"

    def effect(self, arguments: Mapping[str, Any]) -> Acts:
        self._find(arguments).find_changes(arguments["change"])
        return Acts(f"{arguments['server']} {arguments['change']}")

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002
        server = self._find(arguments)
        accepted = [_described(server, definition) for definition in server.accept(arguments["change"])]
        return ToolOutcome(
            "Approved. What is new or changed, and may be called from here on:\n" + ("\n".join(accepted) or "nothing")
        )

    def _find(self, arguments: Mapping[str, Any]) -> Server:
        return self._servers[arguments["server"]]


def _waiting(servers: Sequence[Server]) -> str:
    """The changes that are known to wait, in a phrase."""
    found = [
        f'{{"server": "{server.name}", "change": "{server.changes.digest}"}} ({len(server.changes.names)} tools)'
        for server in servers
        if server.changes is not None
    ]
    return ", ".join(found) or "none so far"


def _described(server: Server, definition: Definition) -> str:
    spec = definition.spec(server.name)
    return f"{spec.name}: {spec.description}\n{json.dumps(spec.parameters)}"
