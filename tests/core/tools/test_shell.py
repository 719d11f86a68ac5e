"""The tool `shell`: its results, and the working folder of the next command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmpilot.contract import ToolError, ToolOutcome, ToolUse
from vmpilot.engine.arguments import ArgumentsCheck, ArgumentsProblem
from vmpilot.machine.workspace import Workspace
from vmpilot.tools import ShellTool
from vmpilot.tools.shell import SHELL_SPEC


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path)


@pytest.fixture
def shell(workspace: Workspace) -> Callable[..., Any]:
    """Runs a command: `outcome = await shell("ls")`."""
    tool = ShellTool(workspace, {"PATH": os.environ["PATH"], "HOME": str(workspace.root)})

    async def run(command: str, on_output: Callable[[str], None] = lambda _: None, **members: Any) -> ToolOutcome:
        return await tool.run({"command": command, **members}, ToolUse(on_output))

    return run


@pytest.mark.parametrize(
    ("command", "text", "exit_code"),
    [
        ("echo out; echo err >&2", "out\nerr\n[exit code 0]", 0),
        ("printf 'no line end'; exit 3", "no line end\n[exit code 3]", 3),
        ("true", "[exit code 0]", 0),
        ("kill -9 $$", "[ended by signal 9 (SIGKILL)]", None),
        ("no-such-program", "bash: line 1: no-such-program: command not found\n[exit code 127]", 127),
        ("sleep 60 &", "[exit code 0; 1 process left in the background was ended]", 0),
        ("sleep 60 & sleep 61 &", "[exit code 0; 2 processes left in the background were ended]", 0),
    ],
)
async def test_output_and_exit_code(shell: Callable[..., Any], command: str, text: str, exit_code: int | None) -> None:
    outcome = await shell(command)
    assert outcome == ToolOutcome(text, is_error=exit_code != 0, exit_code=exit_code)


async def test_a_command_that_takes_too_long_is_ended(shell: Callable[..., Any]) -> None:
    outcome = await shell("echo begun; sleep 60", timeout=0.2)
    assert outcome.text.startswith("begun\n[timed out after 0.2 s: ")
    assert (outcome.is_error, outcome.exit_code) == (True, None)


async def test_the_working_folder_is_kept_for_the_next_command(shell: Callable[..., Any], workspace: Workspace) -> None:
    outcome = await shell("mkdir 'a b' && cd 'a b'")
    folder = workspace.root / "a b"
    assert outcome.text == f"[exit code 0; working folder is now {folder}]"
    assert outcome.folder == str(folder)
    assert workspace.folder == folder
    assert (await shell("pwd")).text == f"{folder}\n[exit code 0]"
    assert (await shell("cd ..; exit 1")).folder == str(workspace.root)
    assert (await shell("(cd 'a b')")).folder is None


async def test_live_output_is_raw(shell: Callable[..., Any]) -> None:
    live: list[str] = []
    outcome = await shell("printf '\\033[31mred\\033[0m\\n'", live.append)
    assert "".join(live) == "\x1b[31mred\x1b[0m\n"
    assert outcome.text == "red\n[exit code 0]"


async def test_a_missing_working_folder_is_reported(
    shell: Callable[..., Any], workspace: Workspace, tmp_path: Path
) -> None:
    workspace.root = tmp_path / "gone"
    workspace.move_to(workspace.root)
    with pytest.raises(ToolError, match=r"could not be started: .*gone"):
        await shell("ls")


async def test_a_command_with_a_nul_is_an_error(shell: Callable[..., Any]) -> None:
    with pytest.raises(ToolError, match="NUL"):
        await shell("echo \0")


async def test_a_missing_bash_is_reported(workspace: Workspace) -> None:
    programs = workspace.root / "bin"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    outcome = await ShellTool(workspace, {"PATH": str(programs)}).run({"command": "[[ 1 ]]"}, ToolUse(lambda _: None))
    assert "[exit code 127; bash was not found" in outcome.text


def test_the_title_is_the_complete_command(workspace: Workspace) -> None:
    command = "echo 1\n" + "x" * 500
    assert ShellTool(workspace, {}).title({"command": command}) == f"$ {command}"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"command": ""},
        {"command": ["ls"]},
        {"command": "ls", "timeout": 0},
        {"command": "ls", "timeout": 3601},
        {"command": "ls", "cwd": "/"},
    ],
)
def test_arguments_that_the_schema_rejects(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentsProblem):
        ArgumentsCheck(SHELL_SPEC.parameters)(arguments)
