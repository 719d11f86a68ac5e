"""Prompts that cannot be answered: real programs show them, no program waits, and the result says what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from vmpilot.contract import ToolUse
from vmpilot.machine.secrets.shell_environment import child_environment
from vmpilot.machine.workspace import Workspace
from vmpilot.tools import CommandRunner, ShellTool
from vmpilot.tools._questions import explain_question

_NOBODY = "setpriv --reuid 65534 --clear-groups"


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Callable[[str], Any]]:
    environment = child_environment({"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
    runner = CommandRunner(environment)
    tool = ShellTool(Workspace.at(tmp_path), runner)

    async def run(command: str) -> str:
        outcome = await tool.run({"command": command, "timeout": 8}, ToolUse(lambda _: None))
        assert "timed out" not in outcome.text
        assert outcome.is_error
        return outcome.text

    yield run
    await runner.close()


@pytest.mark.parametrize(
    ("program", "command", "hint"),
    [
        ("bash", "read -p 'password: ' x </dev/tty", "asked a question"),
        ("bash", "read -p 'Continue? [y/N] ' x </dev/tty", "asked a question"),
        ("python3", "python3 -c 'input(\"go on? \")'", "asked a question"),
        ("python3", "python3 -Wignore -c 'import getpass; getpass.getpass()'", "asked for a password"),
        ("passwd", f"{_NOBODY} passwd", "asked for a password"),
        ("gpg", "gpg --pinentry-mode ask -c /etc/hostname", "gpg asked for a passphrase"),
        ("openssl", "openssl genrsa -aes128 2048 2>&1 | head -1; exit 1", "asked for a password"),
        ("top", "top -n1", "needs a terminal"),
    ],
)
@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
async def test_no_program_waits_for_the_user(
    shell: Callable[[str], Any], program: str, command: str, hint: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    assert hint in await shell(command)


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("su"), reason="becomes another user")
async def test_su_fails_at_once(shell: Callable[[str], Any]) -> None:
    assert "asked for a password, which cannot be entered here" in await shell(f"{_NOBODY} su root -c true")


@pytest.mark.skipif(not shutil.which("vim"), reason="vim is not installed")
async def test_an_editor_that_waits_times_out_with_a_hint(tmp_path: Path) -> None:
    tool = ShellTool(Workspace.at(tmp_path), child_environment({"PATH": os.environ["PATH"]}))
    outcome = await tool.run({"command": "vim file", "timeout": 0.5}, ToolUse(lambda _: None))
    assert "needs a terminal" in outcome.text


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("sudo: a password is required\n", "sudo"),
        ("sudo: a terminal is required to read the password; either use the -S option\n", "sudo"),
        ("sudo: no tty present and no askpass program specified\n", "sudo"),
        ("fatal: could not read Username for 'https://github.com': terminal prompts disabled\n", "git asked"),
        ("Host key verification failed.\r\nfatal: Could not read from remote\n", "host's key"),
        ("git@github.com: Permission denied (publickey).\n", "ssh asked"),
        ("ada@host: Permission denied (publickey,gssapi-keyex,password).\n", "ssh asked"),
        ("Enter passphrase for key '/root/.ssh/id_ed25519': ", "asked for a password"),
        ("After this operation, 61 MB will be used.\nDo you want to continue? [Y/n] Abort.\n", "asked a question"),
        ("Do you want to continue? [Y/n] ", "asked a question"),
        ("Overwrite (y/N)? ", "asked a question"),
    ],
)
def test_known_prompts(output: str, hint: str) -> None:
    assert hint in (explain_question(output) or "")


@pytest.mark.parametrize(
    "output",
    [
        "",
        "error: no such file\n",
        "password_hash.py: 3 tests failed\n",
        "grep: sudo: No such file or directory\n",
        "FAILED tests/test_login.py::test_password\n",
        "What is this?\nIt is a test.\n",
        "rm: cannot remove 'x': Permission denied\n",
    ],
)
def test_other_output(output: str) -> None:
    assert explain_question(output) is None
