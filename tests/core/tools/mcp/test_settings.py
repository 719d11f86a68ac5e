"""The table `[mcp]` of a configuration: valid settings, errors for invalid ones, and hidden secrets."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from vmpilot.config import Environment, load_settings
from vmpilot.contract import Secret, UsageError
from vmpilot.installation import install_command
from vmpilot.tools.mcp import McpServer, McpSettings, read_mcp_settings

from .conftest import MakeServers

TOKEN = "t0ken-never-shown"

GOOD = f"""
[mcp.servers.files]
command = "npx"
args = ["-y", "server-files", "/srv"]
env = ["GITHUB_TOKEN"]

[mcp.servers.far-away]
url = "https://ada:{TOKEN}@example.org:8443/mcp?key={TOKEN}"
headers = {{ Authorization = "Bearer {TOKEN}", X-Team = "shown" }}
timeout = 5
enabled = false

[mcp.servers.more]
command = "serve"
env = {{ API_TOKEN = "{TOKEN}", LOG_LEVEL = "debug", HTTP_PROXY = true }}
"""


def read(text: str) -> McpSettings:
    return read_mcp_settings(tomllib.loads(text)["mcp"])


def test_valid_settings_are_parsed() -> None:
    settings = read(GOOD)
    assert settings.servers["files"] == McpServer(
        command="npx", args=("-y", "server-files", "/srv"), env={"GITHUB_TOKEN": None}
    )
    assert settings.servers["far-away"].headers["Authorization"] == Secret(f"Bearer {TOKEN}")
    assert (settings.servers["far-away"].timeout, settings.servers["far-away"].enabled) == (5, False)
    assert settings.servers["more"].env == {
        "API_TOKEN": Secret(TOKEN),
        "LOG_LEVEL": Secret("debug"),
        "HTTP_PROXY": None,
    }
    assert read_mcp_settings({}) == McpSettings()
    assert read_mcp_settings(settings) is settings


def test_secrets_are_not_shown() -> None:
    settings = read(GOOD)
    assert settings.servers["far-away"].place == "https://example.org:8443/mcp"
    shown = [server.place for server in settings.servers.values()]
    assert TOKEN not in repr(shown)
    assert TOKEN not in repr(settings.servers["more"])
    assert set(settings.secrets) >= {TOKEN, f"Bearer {TOKEN}"}
    assert "debug" not in settings.secrets


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mcp]\ncommand = 'x'", "[mcp] can contain only servers, as [mcp.servers.NAME]"),
        ("mcp = 3", "[mcp] can contain only servers"),
        ("[mcp.servers]\nx = 3", "[mcp.servers.x]: Expected `object`, got `int`"),
        ("[mcp.servers.x]", "[mcp.servers.x]: set either command or url"),
        ("[mcp.servers.x]\ncommand = 'a'\nurl = 'http://b'", "set either command or url"),
        ("[mcp.servers.x]\ncomand = 'a'", "Object contains unknown field `comand`"),
        ("[mcp.servers.x]\ncommand = ''", "the command is empty"),
        ("[mcp.servers.x]\ncommand = 'a'\ntimeout = 0", "Expected `float` > 0"),
        ("[mcp.servers.x]\ncommand = 'a'\nargs = 'b'", "Expected `array`, got `str`"),
        (
            "[mcp.servers.x]\ncommand = 'a'\nenv = { B = 3 }",
            "env must be a list of names, or a table of names and strings",
        ),
        ("[mcp.servers.x]\ncommand = 'a'\nenv = ['B=C']", '"B=C" is not a valid variable'),
        ("[mcp.servers.x]\ncommand = 'a'\nheaders = { B = 'c' }", "headers can be used only with a url"),
        ("[mcp.servers.x]\nurl = 'ftp://b'", "invalid url; expected http or https"),
        ("[mcp.servers.x]\nurl = 'http://b:port'", "invalid url; expected http or https"),
        ("[mcp.servers.x]\nurl = 'http://b'\nargs = ['c']", "args and env can be used only with a command"),
        ("[mcp.servers.x]\nurl = 'http://b'\nheaders = { A = \"b\\r\\nC: d\" }", 'invalid name or value of "A"'),
        ("[mcp.servers.x]\nurl = 'http://b'\nheaders = { A = 3 }", "expected a string"),
        ("[mcp.servers.'x y']\ncommand = 'a'", 'invalid name "x y"'),
        ("[mcp.servers.x__y]\ncommand = 'a'", 'invalid name "x__y"'),
    ],
)
def test_invalid_settings_are_reported(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="mcp") as caught:
        read(text)
    assert said in str(caught.value)


async def test_without_the_library_nothing_is_offered(
    monkeypatch: pytest.MonkeyPatch, make_servers: MakeServers
) -> None:
    servers = make_servers(x=McpServer(command="a"))
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert await servers.tools() == ()
    assert servers.unavailable_reason is not None
    assert servers.unavailable_reason.endswith(f"run `{install_command('vmpilot-core[mcp]')}`")
    assert servers.problems == (servers.unavailable_reason,)


def test_servers_are_read_from_the_user_file_only(tmp_path: Path) -> None:
    environment = Environment({}, tmp_path, tmp_path, tmp_path, "tester")
    environment.user_file.write_text(GOOD)
    sourced = load_settings(environment, folder=tmp_path, options={})
    assert sourced.settings.mcp == read(GOOD)
    assert sourced.shown()["mcp"] == (
        {"files": "npx", "far-away": "https://example.org:8443/mcp", "more": "serve"},
        str(environment.user_file),
    )
    environment.user_file.write_text("[mcp.servers.x]")
    with pytest.raises(UsageError, match=r"config\.toml: \[mcp\.servers\.x\]: set either command or url"):
        load_settings(environment, folder=tmp_path, options={})
    environment.user_file.unlink()
    (tmp_path / ".vmpilot.toml").write_text(GOOD)
    with pytest.raises(UsageError, match=r"a project's file cannot set mcp"):
        load_settings(environment, folder=tmp_path, options={})
