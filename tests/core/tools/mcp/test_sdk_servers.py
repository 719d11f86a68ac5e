"""Servers written with the SDK, over standard input and output and over HTTP: calls from end to end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.proxy_server import PASSWORD, Kind, running_proxy

from vmpilot.contract import Acts, Secret, ToolError, ToolUse
from vmpilot.tools.mcp import McpServer, McpServers, McpSettings

from .conftest import PROGRAMS, MakeServers, call, until

PROGRAM = str(PROGRAMS / "sdk_server.py")
STDIO = McpServer(command=sys.executable, args=(PROGRAM,), env={"GIVEN": Secret("value"), "API_TOKEN": None})

Survivors = Callable[[], list[str]]
HttpServer = tuple[subprocess.Popen[str], str]


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    """A server over HTTP and its address."""
    with subprocess.Popen([sys.executable, PROGRAM, "http"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        process.kill()


async def test_a_server_on_standard_input_and_output(
    make_servers: MakeServers, notices: list[str], tmp_path: Path, survivors: Survivors
) -> None:
    servers = make_servers(sample=STDIO)
    assert survivors() == []
    tools = await servers.tools()
    assert notices == ["starting the MCP server sample"]
    specs = {tool.spec.name: tool.spec for tool in tools}
    assert specs["mcp__sample__add"].description == "Add two numbers."
    assert set(specs["mcp__sample__add"].parameters["properties"]) == {"a", "b"}
    assert servers.problems == ()

    add = next(tool for tool in tools if tool.spec.name == "mcp__sample__add")
    assert add.effect({"a": 1, "b": 2}) == Acts("add")
    assert add.title({"a": 1, "b": "x\u202e\x1b"}) == 'MCP server sample: add {"a": 1, "b": "x\\u202e\\u001b"}'
    assert add.folder is None
    outcome = await call(tools, "mcp__sample__add", a=20, b=22)
    assert (outcome.text, outcome.is_error) == ("42", False)

    outcome = await call(tools, "mcp__sample__fail")
    assert (outcome.text, outcome.is_error) == ("Error executing tool fail", True)
    assert json.loads((await call(tools, "mcp__sample__weather", city="Oslo")).text) == {"city": "Oslo", "degrees": 21}
    assert (await call(tools, "mcp__sample__everything")).text == (
        "plain words\n[image, image/png, 300 bytes: not shown, results are text only]\n"
        "[audio, audio/wav, 300 bytes: not shown, results are text only]\n"
        "[file:///notes.txt]\nthe notes\n"
        "[file:///a.bin, application/zip, 300 bytes: not shown, results are text only]\n"
        "[link to https://example.org/manual: how it works]"
    )
    seen: list[str] = []
    assert (await call(tools, "mcp__sample__count", ToolUse(seen.append), to=3)).text == "done"
    assert seen == ["[1 of 3] at 1\n", "[2 of 3] at 2\n", "[3 of 3] at 3\n"]

    variables = {name: await call(tools, "mcp__sample__environment", name=name) for name in ("GIVEN", "API_TOKEN")}
    assert {name: outcome.text for name, outcome in variables.items()} == {"GIVEN": "value", "API_TOKEN": "s3cret!"}
    folder, pid, session = (await call(tools, "mcp__sample__where")).text.split()
    assert (folder, session) == (str(tmp_path), pid)

    assert len([line for line in survivors() if "sdk_server.py" in line]) == 1
    await servers.close()
    assert survivors() == []


async def test_the_server_is_notified_of_a_canceled_call(make_servers: MakeServers, tmp_path: Path) -> None:
    servers = make_servers(sample=STDIO)
    tools = await servers.tools()
    note = tmp_path / "note"
    calling = asyncio.create_task(call(tools, "mcp__sample__wait", path=str(note)))
    await until(lambda: note.exists() and note.read_text() == "begun")
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await until(lambda: note.read_text() == "cancelled")
    assert (await call(tools, "mcp__sample__add", a=1, b=1)).text == "2"
    with pytest.raises(ToolError, match="MCP server sample: Elicitation not supported"):
        await call(tools, "mcp__sample__ask")


async def test_a_server_over_http(make_servers: MakeServers, http_server: HttpServer, tmp_path: Path) -> None:
    headers = {"Authorization": Secret("Bearer s3cret-t0ken"), "X-Name": Secret("me")}
    servers = make_servers(far=McpServer(url=http_server[1], headers=headers, timeout=20))
    tools = await servers.tools()
    assert (await call(tools, "mcp__far__add", a=20, b=22)).text == "42"
    assert (await call(tools, "mcp__far__header", name="authorization")).text == "Bearer s3cret-t0ken"
    seen: list[str] = []
    await call(tools, "mcp__far__count", ToolUse(seen.append), to=2)
    assert seen == ["[1 of 2] at 1\n", "[2 of 2] at 2\n"]

    note = tmp_path / "note"
    calling = asyncio.create_task(call(tools, "mcp__far__wait", path=str(note)))
    await until(lambda: note.exists() and note.read_text() == "begun")
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await until(lambda: note.read_text() == "cancelled")

    await servers.close()


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_server_over_http_behind_a_proxy(
    tmp_path: Path, http_server: HttpServer, notices: list[str], kind: Kind
) -> None:
    with running_proxy(kind) as proxy:
        servers = McpServers(
            McpSettings({"far": McpServer(url=http_server[1], timeout=20)}),
            folder=tmp_path / "mcp",
            environment={"ALL_PROXY": proxy.url, "NO_PROXY": "[::1],10.0.0.0/8"},
            on_notice=notices.append,
        )
        try:
            assert (await call(await servers.tools(), "mcp__far__add", a=20, b=22)).text == "42"
        finally:
            await servers.close()
    assert set(proxy.targets) == {http_server[1].removeprefix("http://").removesuffix("/mcp")}


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        (f"ftp://me:{PASSWORD}@127.0.0.1:1", "HTTP_PROXY names a ftp:// proxy, which is not supported"),
        (f"http://me:{PASSWORD}@127.0.0.1:1", "HTTP_PROXY (http://127.0.0.1:1): All connection attempts failed"),
    ],
)
async def test_a_proxy_that_fails_is_named_by_its_variable(
    tmp_path: Path, notices: list[str], proxy: str, reason: str
) -> None:
    servers = McpServers(
        McpSettings({"far": McpServer(url="http://127.0.0.1:9/mcp", timeout=20)}),
        folder=tmp_path / "mcp",
        environment={"HTTP_PROXY": proxy},
        on_notice=notices.append,
    )
    assert await servers.tools() == ()
    (problem,) = servers.problems
    assert reason in problem
    assert PASSWORD not in problem
    await servers.close()


async def test_an_http_server_that_stops(make_servers: MakeServers, http_server: HttpServer) -> None:
    process, address = http_server
    servers = make_servers(far=McpServer(url=address, timeout=20))
    tools = await servers.tools()
    process.kill()
    process.wait()
    with pytest.raises(ToolError, match="MCP server far: "):
        await call(tools, "mcp__far__add", a=20, b=22)
    with pytest.raises(ToolError, match="MCP server far: it could not be started: "):
        await call(tools, "mcp__far__add", a=20, b=22)
    with pytest.raises(ToolError, match=r"next try in \d+ s"):
        await call(tools, "mcp__far__add", a=20, b=22)
    assert [problem.split(": ")[0] for problem in servers.problems] == [f"MCP server far ({address})"]
