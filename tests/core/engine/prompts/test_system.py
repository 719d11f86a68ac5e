"""The system prompt contains what the model needs, and nothing that misleads a small one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from vmpilot.engine.prompts import system_prompt
from vmpilot.tools.shell import SHELL_SPEC


def prompt(mode: str = "operate") -> str:
    return system_prompt(user="ada", mode=mode, tools=(SHELL_SPEC,), today=date(2026, 11, 22))


def test_it_names_the_user_the_tools_and_the_date() -> None:
    text = prompt()
    assert "User: ada" in text
    assert "`shell`" in text
    assert "2026-11-22" in text


def test_it_requests_relative_paths_and_names_no_folder() -> None:
    assert "relative paths" in prompt()
    assert str(Path.cwd()) not in prompt()


def test_each_mode_is_described() -> None:
    assert len({prompt(mode) for mode in ("observe", "operate", "full")}) == 3
