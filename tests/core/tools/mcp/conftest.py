"""Real servers for the tests of MCP: one written with the SDK, one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from vmpilot.contract import Tool, ToolOutcome, ToolUse
from vmpilot.tools.mcp import McpServer, McpServers, McpSettings

PROGRAMS = Path(__file__).parent / "programs"

ECHO: dict[str, Any] = {"name": "echo", "description": "Say it again.", "inputSchema": {"type": "object"}}


class MakeServers(Protocol):
    def __call__(self, **servers: McpServer) -> McpServers: ...


class Raw:
    """A misbehaving server's settings, its tool list, and how often it was started."""

    def __init__(self, folder: Path, mode: str) -> None:
        self._tools = folder / f"{mode}.json"
        self._starts = folder / f"{mode}.starts"
        self._mode = mode
        self.lists(ECHO)

    def lists(self, *tools: dict[str, Any]) -> None:
        self._tools.write_text(json.dumps(tools))

    def will_list(self, *tools: dict[str, Any]) -> None:
        self._tools.with_suffix(".next").write_text(json.dumps(tools))

    def settings(self, timeout: float = 20) -> McpServer:
        arguments = ("-S", str(PROGRAMS / "raw_server.py"), self._mode, str(self._tools))
        return McpServer(command=sys.executable, args=arguments, timeout=timeout)

    @property
    def starts(self) -> int:
        return len(self._pids)

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        return int(self._pids[-1])

    @property
    def _pids(self) -> list[str]:
        return self._starts.read_text().split() if self._starts.exists() else []


@pytest.fixture
def raw(tmp_path: Path) -> Callable[[str], Raw]:
    return lambda mode: Raw(tmp_path, mode)


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
async def make_servers(tmp_path: Path, mark: str, notices: list[str]) -> AsyncIterator[MakeServers]:
    async with AsyncExitStack() as stack:

        def make(**servers: McpServer) -> McpServers:
            environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TEST_MARK": mark, "API_TOKEN": "s3cret!"}
            settings = McpSettings(servers)
            made = McpServers(settings, folder=tmp_path / "mcp", environment=environment, on_notice=notices.append)
            stack.push_async_callback(made.close)
            return made

        yield make


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition that another process fulfills."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def call(tools: tuple[Tool, ...], name: str, use: ToolUse | None = None, /, **arguments: Any) -> ToolOutcome:
    """Call the tool with this full name."""
    tool = next(tool for tool in tools if tool.spec.name == name)
    return await tool.run(arguments, use or ToolUse(lambda _text: None))


class Script(Protocol):
    def __call__(self, *pages: dict[str, Any] | None, **more: Any) -> McpServer: ...


HANDSHAKE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Settings for a server that plays a script; its pages of tools are linked by their cursors."""

    def write(*pages: dict[str, Any] | None, **more: Any) -> McpServer:
        cursors = ["first", *(str((page or {}).get("nextCursor", "")) for page in pages)]
        by_cursor = dict(zip(cursors, pages or ({"tools": [ECHO]},), strict=False))
        path = tmp_path / f"script{len(list(tmp_path.glob('script*')))}.json"
        path.write_text(json.dumps({"initialize": HANDSHAKE, "pages": by_cursor} | more))
        arguments = ("-S", str(PROGRAMS / "scripted_server.py"), str(path))
        return McpServer(command=sys.executable, args=arguments, timeout=60)

    return write
