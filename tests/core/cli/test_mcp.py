"""MCP servers with problems: how a request, `-v`, JSON output, `vmpilot tools` and `vmpilot doctor` report them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here

GOOD = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    match request["method"]:
        case "initialize":
            print(json.dumps({"method": "notifications/message", "jsonrpc": "2.0", "params": {"level": 7}}))
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x"}}
        case "tools/list":
            tools = [{"name": "sound"}, {"name": "bad", "inputSchema": {"type": "string"}}]
            result = {"tools": tools}
        case _:
            result = {"content": "Hello."}
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
"""
LEFT_OUT = (
    f"MCP server good ({sys.executable}): its tool bad is skipped: its parameters have the string "
    '"string" as type instead of object'
)
DIES = "import sys; sys.exit('Traceback:\\n  line 1\\n  line 2\\nno license')"
NOT_STARTED = (
    f"MCP server dead ({sys.executable}): it could not be started: it exited with code 1; end of its standard error:"
)


@pytest.fixture
def servers(variables: dict[str, str]) -> Path:
    """Two servers in the user's configuration: one with a bad tool, one that does not start."""
    folder = Path(variables["VMPILOT_CONFIG_DIR"])
    folder.mkdir()
    (folder / "good.py").write_text(GOOD)
    (folder / "config.toml").write_text(
        f"[mcp.servers.good]\ncommand = {sys.executable!r}\nargs = [{str(folder / 'good.py')!r}]\n"
        f"[mcp.servers.dead]\ncommand = {sys.executable!r}\nargs = ['-c', {json.dumps(DIES)}]\n"
    )
    return folder


def asks(tool: str) -> Reply:
    return Reply("", tool_calls=(ScriptedCall(tool, {}),))


@pytest.mark.usefixtures("servers")
def test_a_request_reports_skipped_tools_and_broken_servers(here: Here) -> None:
    with ScriptedServer([asks("mcp__good__sound"), Reply("Done.")] * 2) as server:
        first = here("--mode", "full", "do it", server=server)
        second = here("--mode", "full", "do it", server=server)
    not_started = f"{NOT_STARTED} … no license (use -v to see all of it)"
    called = "MCP server good: sound {}\nHello.\n"
    assert (first.out, first.err) == ("Done.\n", f"{LEFT_OUT}\n{not_started}\n{called}")
    assert (second.out, second.err) == ("Done.\n", f"{not_started}\n{called}")


@pytest.mark.usefixtures("servers")
def test_verbose_shows_the_complete_error_output_of_a_server(here: Here) -> None:
    with ScriptedServer([Reply("Done.")]) as server:
        ran = here("-v", "do it", server=server)
    assert f"{LEFT_OUT}\n{NOT_STARTED}\nTraceback:\n  line 1\n  line 2\nno license\n" in ran.err


@pytest.mark.usefixtures("servers")
def test_problems_are_events(here: Here) -> None:
    with ScriptedServer([Reply("Done.")]) as server:
        ran = here("--output", "jsonl", "do it", server=server)
    events = [json.loads(line) for line in ran.out.splitlines()]
    notices = [event["text"] for event in events if event["type"] == "notice"]
    assert [notice.partition("\n")[0] for notice in notices] == [LEFT_OUT, NOT_STARTED]


@pytest.mark.usefixtures("servers")
def test_tools_reports_problems_each_time(here: Here) -> None:
    for _ in range(2):
        ran = here("tools")
        assert f"vmpilot: {LEFT_OUT}\n" in ran.err
        assert f"vmpilot: {NOT_STARTED}\n" in ran.err


@pytest.mark.usefixtures("servers")
def test_the_log_of_the_sdk_is_not_shown(variables: dict[str, str]) -> None:
    """In a separate process, because pytest captures logs that a user would see."""
    program = [sys.executable, "-m", "vmpilot.cli", "tools"]
    ran = subprocess.run(program, env=variables, capture_output=True, text=True, check=True)
    assert f"vmpilot: {LEFT_OUT}\n" in ran.stderr
    assert "Failed to validate" not in ran.stderr


@pytest.mark.usefixtures("servers")
def test_doctor_starts_each_server(here: Here) -> None:
    for _ in range(2):
        ran = here("doctor", "--output", "json")
        checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
        assert ran.code == 1
        good, dead = checks["MCP server good"], checks["MCP server dead"]
        assert (good["state"], good["detail"]) == (
            "note",
            f"1 tool from {sys.executable}; {LEFT_OUT.partition('): ')[2]}",
        )
        assert dead["state"] == "broken"
        assert dead["detail"].endswith("end of its standard error: Traceback: line 1 line 2 no license")
        assert "[mcp.servers.dead]" in dead["mend"]


@pytest.mark.usefixtures("servers")
def test_a_missing_library_is_reported_once(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmpilot.tools.mcp._servers.find_spec", lambda _name: None)
    with ScriptedServer([Reply("Done.")]) as server:
        ran = here("do it", server=server)
    assert ran.err.count("the library for them is missing") == 1
