"""A real MCP server written with the SDK: over standard input and output, or with a port over streamable HTTP.

python sdk_server.py              stdio
python sdk_server.py http         HTTP on a free port of loopback, which it prints
"""

import asyncio
import base64
import os
import socket
import sys
from pathlib import Path

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

server = MCPServer("sample")


class Weather(BaseModel):
    city: str
    degrees: int


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def weather(city: str) -> Weather:
    """Return the weather."""
    return Weather(city=city, degrees=21)


@server.tool(structured_output=False)
def everything() -> list[TextContent | ImageContent | AudioContent | EmbeddedResource | ResourceLink]:
    """Return content of each kind."""
    data = base64.b64encode(b"x" * 300).decode()
    return [
        TextContent(text="plain \x1b[31mwords"),
        ImageContent(data=data, mime_type="image/png"),
        AudioContent(data=data, mime_type="audio/wav"),
        EmbeddedResource(resource=TextResourceContents(uri="file:///notes.txt", text="the notes")),
        EmbeddedResource(resource=BlobResourceContents(uri="file:///a.bin", blob=data, mime_type="application/zip")),
        ResourceLink(name="manual", uri="https://example.org/manual", description="how it works"),
    ]


@server.tool()
def fail() -> str:
    """Always fail."""
    raise ValueError("the disk is full")


@server.tool()
async def count(context: Context, to: int) -> str:
    """Count, and report progress."""
    for number in range(1, to + 1):
        await context.report_progress(number, to, f"at {number}")
    return "done"


@server.tool()
async def wait(path: str) -> str:
    """Wait forever; record the start and the end in files."""
    note = Path(path)
    note.write_text("begun")  # noqa: ASYNC240
    try:
        await asyncio.sleep(1000)
    finally:
        note.write_text("cancelled")  # noqa: ASYNC240
    return "never"


@server.tool()
def environment(name: str) -> str:
    """Return an environment variable."""
    return os.environ.get(name, "(unset)")


@server.tool()
def where() -> str:
    """Return the working folder and the process id."""
    return f"{Path.cwd()} {os.getpid()} {os.getsid(0)}"


@server.tool()
def header(context: Context, name: str) -> str:
    """Return a header of the request."""
    return (context.headers or {}).get(name, "(none)")


@server.tool()
async def ask(context: Context) -> str:
    """Ask the user something."""
    answer = await context.elicit("Your password?", Answer)
    return str(answer.action)


class Answer(BaseModel):
    text: str


def main() -> None:
    if sys.argv[1:] == ["http"]:
        listening = socket.create_server(("127.0.0.1", 0))
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(server.streamable_http_app(), log_level="critical", timeout_graceful_shutdown=0)
        uvicorn.Server(config).run(sockets=[listening])
    else:
        print("this line is no message", flush=True)
        server.run()


main()
