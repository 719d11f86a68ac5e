"""Servers that misbehave: errors for the model, no hanging or leftover processes, and a restart for the next call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vmpilot.contract import ToolError
from vmpilot.tools.mcp import McpServer

from .conftest import PROGRAMS, MakeServers, Raw, call, until

MakeRaw = Callable[[str], Raw]
Survivors = Callable[[], list[str]]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (
            "crash",
            "the connection was lost: it exited with code 7; end of its standard error:\nassertion failed: no",
        ),
        ("kill", "the connection was lost: it was killed by signal 9"),
        ("huge", "the connection was lost: it sent a message that exceeds 8 MB"),
        ("junk", "lost: it does not speak MCP; it wrote 1,001 lines that are not messages, such as: <html>oops</html>"),
        ("flood", "the connection was lost: it sends endless messages"),
        ("error", "no such \\u202etable"),
    ],
)
async def test_a_failed_call(make_servers: MakeServers, raw: MakeRaw, mode: str, said: str) -> None:
    servers = make_servers(raw=raw(mode).settings())
    tools = await servers.tools()
    with pytest.raises(ToolError) as caught:
        await call(tools, "mcp__raw__echo")
    assert str(caught.value).startswith("MCP server raw: ")
    assert said in str(caught.value)


async def test_a_crashed_server_is_restarted(make_servers: MakeServers, raw: MakeRaw) -> None:
    server = raw("crash-once")
    tools = await make_servers(raw=server.settings()).tools()
    with pytest.raises(ToolError, match="it exited with code 7"):
        await call(tools, "mcp__raw__echo")
    assert (await call(tools, "mcp__raw__echo", a=1)).text == '{"a": 1}'
    assert server.starts == 2


async def test_a_server_that_crashes_repeatedly_is_retried_after_a_pause(
    make_servers: MakeServers, raw: MakeRaw
) -> None:
    server = raw("crash")
    tools = await make_servers(raw=server.settings()).tools()
    for _ in range(2):
        with pytest.raises(ToolError, match="it exited with code 7"):
            await call(tools, "mcp__raw__echo")
    with pytest.raises(ToolError, match=r"(?s)it failed \(.*code 7.*\); next try in 2 s"):
        await call(tools, "mcp__raw__echo")
    assert server.starts == 2


async def test_a_server_that_died_between_calls_is_restarted(
    make_servers: MakeServers, raw: MakeRaw, survivors: Survivors
) -> None:
    server = raw("good")
    tools = await make_servers(raw=server.settings()).tools()
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: survivors() == [])
    assert (await call(tools, "mcp__raw__echo", a=1)).text == '{"a": 1}'


async def test_a_call_without_a_response(make_servers: MakeServers, raw: MakeRaw) -> None:
    server = raw("deaf")
    tools = await make_servers(raw=server.settings(timeout=0.3)).tools()
    with pytest.raises(ToolError, match=r"raw: no response within 0\.3 s"):
        await call(tools, "mcp__raw__echo")


@pytest.mark.parametrize(
    ("mode", "said"),
    [("dies", "it could not be started: it exited with code 1; end of its standard error:\ncannot find the licence")],
)
async def test_a_failed_start(make_servers: MakeServers, raw: MakeRaw, mode: str, said: str) -> None:
    servers = make_servers(bad=raw(mode).settings(), good=raw("good").settings())
    tools = await servers.tools()
    assert [tool.spec.name for tool in tools] == ["mcp__good__echo", "mcp_accept_changes"]
    assert servers.problems == (f"MCP server bad ({sys.executable}): {said}",)


async def test_a_missing_command(make_servers: MakeServers) -> None:
    servers = make_servers(bad=McpServer(command="no-such-program-here"))
    assert await servers.tools() == ()
    (problem,) = servers.problems
    assert "it could not be started: [Errno 2] No such file or directory: 'no-such-program-here'" in problem


@pytest.mark.parametrize("mode", ["silent", "talks"])
async def test_a_hanging_start_can_be_canceled(
    make_servers: MakeServers, raw: MakeRaw, survivors: Survivors, mode: str
) -> None:
    server = raw(mode)
    asking = asyncio.create_task(make_servers(raw=server.settings()).tools())
    await until(lambda: server.starts > 0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert survivors() == []


async def test_a_hanging_start_times_out(
    make_servers: MakeServers, raw: MakeRaw, survivors: Survivors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmpilot.tools.mcp._connection.START_SECONDS", 0.5)
    servers = make_servers(raw=raw("silent").settings())
    assert await servers.tools() == ()
    (problem,) = servers.problems
    assert "it could not be started: no response within 0.5 s" in problem
    assert "starting up, please wait" in problem
    assert survivors() == []


async def test_noise_on_standard_error_is_harmless(make_servers: MakeServers, raw: MakeRaw) -> None:
    tools = await make_servers(raw=raw("stderr").settings()).tools()
    assert (await call(tools, "mcp__raw__echo")).text == "calm again"


async def test_a_long_result_is_cut(make_servers: MakeServers, raw: MakeRaw) -> None:
    tools = await make_servers(raw=raw("long").settings()).tools()
    text = (await call(tools, "mcp__raw__echo")).text
    assert len(text) < 41_000
    assert "[… 210,000 characters cut …]" in text


async def test_requests_of_servers_are_declined(make_servers: MakeServers, raw: MakeRaw) -> None:
    tools = await make_servers(raw=raw("sample").settings()).tools()
    declined = json.loads((await call(tools, "mcp__raw__echo")).text)
    assert declined == ["List roots not supported", "Sampling not supported"]


async def test_two_servers_work_concurrently(make_servers: MakeServers, raw: MakeRaw) -> None:
    servers = make_servers(slow=raw("deaf").settings(timeout=1), good=raw("good").settings())
    tools = await servers.tools()
    slow = asyncio.create_task(call(tools, "mcp__slow__echo"))
    texts = await asyncio.gather(*(call(tools, "mcp__good__echo", n=number) for number in range(20)))
    assert [json.loads(outcome.text)["n"] for outcome in texts] == list(range(20))
    assert not slow.done()
    with pytest.raises(ToolError, match="MCP server slow"):
        await slow


@pytest.mark.parametrize("mode", ["family", "stubborn"])
async def test_closing_ends_all_processes(
    make_servers: MakeServers, raw: MakeRaw, survivors: Survivors, mode: str
) -> None:
    servers = make_servers(raw=raw(mode).settings())
    await call(await servers.tools(), "mcp__raw__echo")
    assert survivors() != []
    await servers.close()
    assert survivors() == []


VMPILOT = """
import asyncio, os, sys
from pathlib import Path
from vmpilot.contract import ToolUse
from vmpilot.tools.mcp import McpServer, McpServers, McpSettings

async def main():
    server = McpServer(command=sys.executable, args=tuple(sys.argv[1:]))
    servers = McpServers(McpSettings({"raw": server}), folder=Path("mcp"), environment=dict(os.environ))
    tools = await servers.tools()
    await tools[0].run({}, ToolUse(print))
    print("begun", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_a_kill_of_vmpilot_ends_servers(tmp_path: Path, raw: MakeRaw, mark: str, survivors: Survivors) -> None:
    server = raw("family").settings()
    with subprocess.Popen(
        [sys.executable, "-c", VMPILOT, *server.args],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TEST_MARK": mark},
        stdout=subprocess.PIPE,
        text=True,
    ) as vmpilot:
        assert vmpilot.stdout is not None
        assert vmpilot.stdout.readline() == "begun\n"
        assert len(survivors()) >= 3
        vmpilot.kill()
        vmpilot.wait()
        while survivors():
            time.sleep(0.01)


async def test_nothing_is_read_or_started_without_servers(make_servers: MakeServers, tmp_path: Path) -> None:
    off = McpServer(command=sys.executable, args=(str(PROGRAMS / "raw_server.py"),), enabled=False)
    servers = make_servers(off=off)
    assert await servers.tools() == ()
    assert servers.problems == ()
    assert not (tmp_path / "mcp").exists()
