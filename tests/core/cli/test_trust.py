"""`vmpilot trust` and `vmpilot distrust`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.cli.conftest import Here


def rules(here: Here, folder: Path) -> list[str]:
    shown = here("config", "show", "--output", "json", "--cwd", str(folder))
    found: list[str] = json.loads(shown.out)["allow"]["value"]
    return found


def test_a_project_is_trusted_until_its_file_changes(here: Here, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    file = project / ".vmpilot.toml"
    file.write_text('allow = ["shell: make"]\n')
    assert rules(here, project) == []
    ran = here("trust", str(project))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"Trusted {file} until it changes. Allowed here from now on:\n  shell: make  (in the sandbox)\n"
    assert rules(here, project) == ["shell: make"]
    file.write_text('allow = ["shell"]\n')
    assert rules(here, project) == []


def test_distrust_removes_approvals(here: Here, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".vmpilot.toml").write_text('allow = ["shell: make"]\n')
    here("trust", "--cwd", str(project))
    ran = here("distrust", str(project))
    assert (ran.code, ran.out) == (
        0,
        f"Removed all approvals for {project}. Only your own configuration allows commands there now.\n",
    )
    assert rules(here, project) == []


def test_a_project_without_a_file_cannot_be_trusted(here: Here, tmp_path: Path) -> None:
    ran = here("trust", str(tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert "Nothing to trust" in ran.err
    assert here("trust", str(tmp_path / "nowhere")).code == 2
    assert here("trust", "a", "b").code == 2


def test_an_invalid_file_is_not_trusted(here: Here, tmp_path: Path) -> None:
    (tmp_path / ".vmpilot.toml").write_text('mode = "full"\n')
    ran = here("trust", str(tmp_path))
    assert ran.code == 2
    assert "a project's file cannot set mode" in ran.err
