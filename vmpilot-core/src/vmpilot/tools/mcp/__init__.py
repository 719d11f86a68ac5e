"""MCP servers of the person's configuration, and their tools. The SDK (extra `mcp`) is imported at a first start."""

from vmpilot.config import McpServer, McpSettings, read_mcp_settings
from vmpilot.tools.mcp.server import ServerReport
from vmpilot.tools.mcp.servers import McpServers

__all__ = ["McpServer", "McpServers", "McpSettings", "ServerReport", "read_mcp_settings"]
