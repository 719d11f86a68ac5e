"""`vmpilot doctor`: its table, its JSON and its exit code."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from vmpilot.cli._doctor import Hold, run_doctor, sum_up
from vmpilot.cli._doctor_checks import Check


@pytest.fixture
def user(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, sample_path: Path) -> dict[str, str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(sample_path)
    return variables


def doctor(tmp_path: Path, output: str = "json", backend: str | None = None) -> int:
    return run_doctor(Namespace(cwd=str(tmp_path), output=output, backend=backend))


def told(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, dict[str, str]], list[dict[str, Any]]]:
    printed = json.loads(capsys.readouterr().out)
    return {check["name"]: check for check in printed["checks"]}, printed["sandbox"]


@pytest.mark.usefixtures("user")
def test_everything_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor(tmp_path)
    checks, holds = told(capsys)
    broken = [check for check in checks.values() if check["state"] == "broken"]
    assert (code, broken) == (0, [])
    assert "bare" in checks["VMPilot"]["detail"]
    assert checks["log"]["detail"] == "no conversations yet"
    assert len(holds) == 59
    assert {"probe", "holds", "verdicts", "details", "known"} == set(holds[0])


@pytest.mark.usefixtures("user")
def test_the_table_of_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(tmp_path, "text") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok      sandbox") for line in lines)
    assert "yes       yes        no network is reachable" in lines
    assert "yes       -          at level read the workspace cannot be changed" in lines


def test_broken_settings_and_folders(user: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Path(user["VMPILOT_CONFIG_DIR"])
    config.mkdir()
    (config / "config.toml").write_text("no_such_key = 1\n")
    (tmp_path / "data").write_text("a file where the folder should be")
    assert doctor(tmp_path) == 1
    checks, _ = told(capsys)
    assert (checks["settings"]["state"], "no_such_key" in checks["settings"]["detail"]) == ("broken", True)
    assert (checks["data folder"]["state"], checks["log"]["state"]) == ("broken", "broken")


@pytest.mark.usefixtures("user")
def test_a_missing_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(tmp_path, backend="litellmm") == 1
    checks, _ = told(capsys)
    assert checks["backend"]["state"] == "broken"


def test_missing_programs(
    user: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor(tmp_path) == 1
    checks, _ = told(capsys)
    states = {name: checks[name]["state"] for name in ("bash", "git")}
    assert states == {"bash": "broken", "git": "note"}


def test_an_unknown_escape_is_broken() -> None:
    held = Hold(
        "a", "a holds", {"read": "blocked", "workspace": "not tried"}, {"read": "", "workspace": ""}, known=False
    )
    known = Hold("b", "b holds", {"read": "open", "workspace": "open"}, {"read": "x", "workspace": "x"}, known=True)
    fresh = Hold("c", "c holds", {"read": "blocked", "workspace": "open"}, {"read": "", "workspace": "x"}, known=False)
    assert sum_up([held, known]) == Check(
        "escape probes", "ok", "1 of 2 blocked at level read, 0 of 1 blocked at level workspace"
    )
    assert sum_up([held, known, fresh]).state == "broken"
    assert "escaped from the sandbox: c" in sum_up([held, known, fresh]).detail


def test_a_sandbox_program_in_the_folder_is_not_run(
    user: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    program = project / "bwrap"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/outside\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{project}:{user['PATH']}")
    doctor(project)
    assert not (tmp_path / "outside").exists()
