"""Changing single keys of the user's file: the rest is kept, and invalid values are rejected."""

from __future__ import annotations

import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.config import UserFile
from vmpilot.contract import UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def loaded(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("backend", "mine", "mine"),
        ("model", "123", "123"),
        ("model", 'a "b" # c', 'a "b" # c'),
        ("max_steps", "40", 40),
        ("max_cost", "0.5", 0.5),
        ("max_seconds", "30", 30),
        ("compaction", "false", False),
        ("cache", "off", "off"),
        ("fallback", '["a", "b"]', ["a", "b"]),
        ("deny", '["shell: rm"]', ["shell: rm"]),
        ("mcp", '{ servers = { x = { command = "true" } } }', {"servers": {"x": {"command": "true"}}}),
    ],
)
def test_a_value_is_text_or_toml(path: Path, key: str, text: str, value: object) -> None:
    assert UserFile(path).set_value(key, text) == value
    assert loaded(path) == {key: value}


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("modell", "x", 'Unknown key "modell". The keys are: '),
        ("mode", "fast", "mode must be one of observe, operate, full, not 'fast'"),
        ("max_steps", "0", "max_steps must be a whole number above 0, not '0'"),
        ("max_steps", "1\nmodel = 'x'", "max_steps must be"),
        ("base_url", "ftp://user:opensesame@x", "not this value"),
    ],
)
def test_an_invalid_value_changes_nothing(path: Path, key: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        UserFile(path).set_value(key, text)
    assert told in str(caught.value)
    assert "opensesame" not in str(caught.value)
    assert not path.exists()


WRITTEN = """\
# my settings
model = "old"   # the cheap one

# permission
deny = [
    "shell: rm",  # never
]

[mcp.servers.x]
command = ["true"]
"""


def test_comments_order_and_tables_are_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(WRITTEN)
    file = UserFile(path)
    file.set_value("model", "new")
    assert path.read_text() == WRITTEN.replace('"old"', '"new"')
    file.set_value("max_steps", "7")
    assert loaded(path) == tomllib.loads(WRITTEN) | {"model": "new", "max_steps": 7}
    assert file.unset_value("max_steps")
    assert file.unset_value("model")
    assert not file.unset_value("model")
    assert loaded(path) == {key: value for key, value in tomllib.loads(WRITTEN).items() if key != "model"}
    assert "# never" in path.read_text()


def test_an_unknown_key_can_be_removed(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('modell = "x"\n')
    assert UserFile(path).unset_value("modell")
    assert path.read_text() == ""


def test_a_file_that_is_not_toml_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[broken")
    with pytest.raises(UsageError, match="Cannot read configuration file"):
        UserFile(path).set_value("mode", "observe")
    assert path.read_text() == "[broken"


def test_a_link_is_followed_and_the_mode_is_kept(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    real = tmp_path / "dotfiles.toml"
    real.touch(mode=0o640)
    path.symlink_to(real)
    UserFile(path).set_value("mode", "observe")
    assert path.is_symlink()
    assert loaded(real) == {"mode": "observe"}
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    UserFile(path).set_value("api_key", "k")
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_created_is_an_error_of_config(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    with pytest.raises(UsageError, match="Cannot change "):
        UserFile(tmp_path / "config" / "config.toml").set_value("mode", "observe")


def test_two_programs_can_write_at_once(path: Path) -> None:
    keys = {"max_steps": "1", "attempts": "2", "max_tokens": "3", "cache_megabytes": "4", "seed": "5", "model": "m"}
    code = (
        "import pathlib, sys; from vmpilot.config import UserFile;"
        "UserFile(pathlib.Path(sys.argv[1])).set_value(*sys.argv[2:])"
    )
    programs = [subprocess.Popen([sys.executable, "-c", code, str(path), *item]) for item in keys.items()]
    assert [program.wait() for program in programs] == [0] * len(keys)
    assert loaded(path).keys() == keys.keys()


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), before=st.sampled_from(["", WRITTEN]))
def test_any_text_round_trips(tmp_path_factory: pytest.TempPathFactory, text: str, before: str) -> None:
    path = tmp_path_factory.mktemp("any") / "config.toml"
    path.write_text(before)
    UserFile(path).set_value("litellm_model", text)
    assert loaded(path) == tomllib.loads(before) | {"litellm_model": text}
