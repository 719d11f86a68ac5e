"""`vmpilot config set` and `unset`, as the user runs them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from .conftest import Here


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def test_set_show_and_unset(here: Here, file: Path) -> None:
    ran = here("config", "set", "max_steps", "40")
    assert (ran.code, ran.out, ran.err) == (0, f"max_steps = 40  # {file}\n", "")
    shown = json.loads(here("config", "show", "--output", "json").out)
    assert shown["max_steps"] == {"value": 40, "origin": str(file)}
    assert here("config", "unset", "max_steps").out == f"Removed max_steps from {file}\n"
    ran = here("config", "unset", "max_steps")
    assert (ran.code, ran.out, ran.err) == (0, "", f"vmpilot: max_steps is not set in {file}\n")


def test_an_overriding_variable_is_named(here: Here, file: Path) -> None:
    ran = here("config", "set", "backend", "bare")
    assert ran.code == 0
    assert ran.err == "vmpilot: Overridden here: VMPILOT_BACKEND also sets backend.\n"
    assert tomllib.loads(file.read_text()) == {"backend": "bare"}


def test_a_secret_comes_from_standard_input(here: Here, file: Path) -> None:
    assert here("config", "set", "api_key", "opensesame").code == 2
    assert not file.exists()
    ran = here("config", "set", "api_key", "-", stdin="opensesame\n")
    assert ran.code == 0
    assert ran.out == f"api_key = (set)  # {file}\n"
    assert tomllib.loads(file.read_text()) == {"api_key": "opensesame"}


@pytest.mark.parametrize(
    ("setting", "code", "told"),
    [
        (("backend", "nobody"), 5, 'Backend "nobody" (config set) is not installed'),
        (("mode", "fast"), 2, "mode must be one of observe, operate, full, not 'fast'"),
        (("deny", '["shell rm"]'), 2, "Invalid rule 'shell rm' in deny"),
    ],
)
def test_an_invalid_value_is_rejected(here: Here, file: Path, setting: tuple[str, str], code: int, told: str) -> None:
    ran = here("config", "set", *setting)
    assert ran.code == code
    assert told in ran.err
    assert not file.exists()


def test_the_suggested_command_chooses_among_several_backends(
    here: Here, monkeypatch: pytest.MonkeyPatch, installed_samples: object, file: Path
) -> None:
    """The command in the message works."""
    assert callable(installed_samples)
    installed_samples("echo", "bare", alone=True)
    monkeypatch.delenv("VMPILOT_BACKEND")
    ran = here("hello")
    assert ran.code == 5
    offered = ran.err.split("`")[1].split()
    assert offered[:3] == ["vmpilot", "config", "set"]
    assert here(*offered[1:]).code == 0
    chosen = json.loads(here("backends", "list", "--output", "json").out)
    assert [(one["name"], one["note"]) for one in chosen if one["chosen"]] == [(offered[-1], f"chosen: {file}")]
