"""MCP servers of the person's configuration, and their tools. The SDK (extra `mcp`) is imported at a first start."""

from vmpilot.tools.mcp.server import ServerReport
from vmpilot.tools.mcp.servers import McpServers
from vmpilot.tools.mcp.settings import McpServer, McpSettings, read_mcp_settings

__all__ = ["McpServer", "McpServers", "McpSettings", "ServerReport", "read_mcp_settings"]
