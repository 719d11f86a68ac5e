"""The user's MCP servers and their tools. The SDK (extra `mcp`) is imported when the first server starts."""

from vmpilot.config import McpServer, McpSettings, read_mcp_settings
from vmpilot.tools.mcp._naming import PREFIX
from vmpilot.tools.mcp._server import ACCEPT_TOOL, ServerReport
from vmpilot.tools.mcp._servers import McpServers

__all__ = ["ACCEPT_TOOL", "PREFIX", "McpServer", "McpServers", "McpSettings", "ServerReport", "read_mcp_settings"]
