"""`vmpilot backends new`: the files, rejected names and folders, and the next commands."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer
from vmpilot.testing.conformance import CASES, LEVELS, make_subject, run_cases

FILES = [
    "README.md",
    "pyproject.toml",
    "src/vmpilot_backend_my_engine/__init__.py",
    "src/vmpilot_backend_my_engine/agent.py",
    "src/vmpilot_backend_my_engine/py.typed",
    "tests/test_conformance.py",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packages" / "mine"


@pytest.fixture
def package(here: Any, folder: Path) -> Path:
    """A new package."""
    assert here("backends", "new", "my-engine", "--dir", str(folder)).code == 0
    return folder


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_it_prints_the_files_and_the_next_commands(here: Any, tmp_path: Path) -> None:
    ran = here("backends", "new", "my-engine", "--cwd", str(tmp_path))
    place = tmp_path / "vmpilot-backend-my-engine"
    assert (ran.code, ran.err, written(place)) == (0, "", FILES)
    lines = ran.out.splitlines()
    assert lines[0] == f"{place}/"
    assert [line.strip() for line in lines[1 : len(FILES) + 1]] == FILES
    assert f"  pip install -e {place}" in lines
    assert "  vmpilot backends check my-engine" in lines


def test_the_new_name_is_everywhere(package: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in package.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if "newbackend" in text + str(path)]
    project = tomllib.loads(texts[package / "pyproject.toml"])["project"]
    assert project["name"] == "vmpilot-backend-my-engine"
    assert project["entry-points"] == {"vmpilot.backends": {"my-engine": "vmpilot_backend_my_engine.agent"}}


def test_the_package_requires_this_version_of_the_core(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (core,) = [text for text in project["dependencies"] if text.startswith("vmpilot-core")]
    assert version("vmpilot-core") in Requirement(core).specifier
    assert "0.2" not in Requirement(core).specifier


def test_the_package_is_small_and_clean(package: Path) -> None:
    code = (package / "src/vmpilot_backend_my_engine/agent.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) < 150
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "."],
            cwd=package,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name", ["", "My", "a b", "a--b", "-a", "a-", "1a", "a_b", "../a", "a/b", "é", "a" * 31, "a\nb", "a.b"]
)
def test_an_invalid_name_is_rejected(name: str, here: Any, tmp_path: Path) -> None:
    ran = here("backends", "new", "--cwd", str(tmp_path / "empty"), "--", name)
    assert (ran.code, ran.out, (tmp_path / "empty").exists()) == (2, "", False)
    assert "is not a valid backend name" in ran.err


@pytest.mark.parametrize("name", ["bare", "langchain", "litellm"])
def test_a_name_in_use_is_rejected(name: str, here: Any, folder: Path) -> None:
    ran = here("backends", "new", name, "--dir", str(folder))
    assert (ran.code, folder.exists()) == (2, False)
    assert f'"{name}" belongs to another backend' in ran.err


def test_existing_files_are_never_overwritten(here: Any, package: Path) -> None:
    (package / "README.md").write_text("mine")
    ran = here("backends", "new", "my-engine", "--dir", str(package))
    assert (ran.code, "is not empty" in ran.err, (package / "README.md").read_text()) == (2, True, "mine")


def test_an_empty_folder_is_accepted(here: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    ran = here("backends", "new", "my-engine", "--dir", str(folder), "--output", "json")
    assert json.loads(ran.out) == {"name": "my-engine", "folder": str(folder), "files": FILES}


def test_a_folder_that_cannot_be_created_is_an_error(here: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = here("backends", "new", "my-engine", "--dir", str(tmp_path / "file" / "mine"))
    assert (ran.code, "(Not a directory)" in ran.err) == (2, True)


def test_the_commands_can_be_copied_whatever_the_folder_is_called(here: Any, tmp_path: Path) -> None:
    ran = here("backends", "new", "my-engine", "--cwd", str(tmp_path), "--dir", "my engine; rm")
    assert f"  pip install -e '{tmp_path}/my engine; rm'" in ran.out.splitlines()


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, installed as far as importlib.metadata can tell."""
    metadata = package / "src/vmpilot_backend_my_engine-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vmpilot-backend-my-engine\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[vmpilot.backends]\nmy-engine = vmpilot_backend_my_engine.agent\n")
    monkeypatch.syspath_prepend(package / "src")
    return package


def test_the_package_passes_every_level(installed: Path) -> None:
    subject = make_subject("my-engine")
    assert set(subject.backend.info.capabilities) == set(LEVELS)
    results = list(run_cases(subject, CASES))
    assert [(result.case.id, result.came) for result in results if result.outcome != "passed"] == []


def test_the_package_answers_a_request(installed: Path, here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMPILOT_ATTEMPTS", "2")
    call = Reply("", tool_calls=(ScriptedCall("shell", {"command": "printf works"}),))
    with ScriptedServer([call, HttpError(503, "busy"), Reply("It is there.")]) as server:
        ran = here("--backend", "my-engine", "--mode", "full", "make it", server=server)
    assert (ran.code, ran.out) == (0, "It is there.\n"), ran.err
