"""The table on the configuration page matches the settings, their variables and options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmpilot.cli._arguments import parse
from vmpilot.config import PROJECT_KEYS, VARIABLES, Settings

PAGE = Path(__file__).parents[2] / "vmpilot-core" / "docs" / "configuration.md"
KEYS, VARIABLE, OPTION = 0, 1, 2


def _rows() -> list[list[str]]:
    table = PAGE.read_text().partition("## Settings")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_setting_has_a_row() -> None:
    keys = [key for row in _rows() for key in _quoted(row[KEYS])]
    assert sorted(keys) == sorted(Settings.__struct_fields__)


def test_each_variable_is_listed_with_its_setting() -> None:
    told = {variable: row[KEYS].strip("`") for row in _rows() for variable in _quoted(row[VARIABLE])}
    assert told == {**VARIABLES, "VMPILOT_BACKEND": "backend", "VMPILOT_USE_LITELLM": "backend"}


def test_each_option_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    assert {option for row in _rows() for option in _quoted(row[OPTION])} <= known


def test_keys_of_project_files_are_listed() -> None:
    told = re.search(r"it may only set (.*?),\s+and the restricting rules", PAGE.read_text(), re.DOTALL)
    assert told is not None
    assert {*_quoted(told[1]), "ask", "deny"} == PROJECT_KEYS
