"""Lasting approvals: trusted project files and saved rules."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from vmpilot.config import ApprovalsFile, Environment, LoadedSettings, load_settings, project_root
from vmpilot.contract import UsageError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def approvals(tmp_path: Path) -> ApprovalsFile:
    return ApprovalsFile(tmp_path / "config")


def load(project: Path) -> LoadedSettings:
    home = project.parent / "config"
    return load_settings(Environment({}, home, home, home, "tester"), folder=project, options={})


def write_project(project: Path, text: str) -> Path:
    path = project / ".vmpilot.toml"
    path.write_text(text)
    return path


def test_project_rules_deny_at_once_and_allow_once_trusted(project: Path, approvals: ApprovalsFile) -> None:
    path = write_project(project, 'allow = ["shell: make"]\ndeny = ["shell: rm"]\n')
    before = load(project)
    assert (before.settings.allow, before.settings.deny) == ((), ("shell: rm",))
    assert before.remarks == (f"Not using allow in {path}. To trust the file, run `vmpilot trust {project}`.",)
    approvals.trust(path, path.read_bytes())
    after = load(project)
    assert (after.settings.allow, after.remarks) == (("shell: make",), ())


def test_trust_ends_when_the_file_changes(project: Path, approvals: ApprovalsFile) -> None:
    path = write_project(project, 'allow = ["shell: make"]\n')
    approvals.trust(path, path.read_bytes())
    write_project(project, 'allow = ["shell"]\n')
    assert load(project).settings.allow == ()
    assert len(load(project).remarks) == 1


def test_rules_of_all_sources_add_up(project: Path, approvals: ApprovalsFile) -> None:
    approvals.path.parent.mkdir()
    user_file = approvals.path.parent / "config.toml"
    user_file.write_text('deny = ["shell: dd"]\n')
    path = write_project(project, 'deny = ["shell: rm"]\n')
    sourced = load(project)
    assert sourced.settings.deny == ("shell: dd", "shell: rm")
    assert sourced.origins["deny"] == f"{user_file}, {path}"


def test_saved_rules_apply_only_in_their_project(project: Path, approvals: ApprovalsFile) -> None:
    (project / ".git").mkdir()
    (project / "src").mkdir()
    other = project.parent / "other"
    other.mkdir()
    assert project_root(project / "src") == project
    assert project_root(other) == other
    approvals.save_rules(project, ("shell: npm test",))
    approvals.save_rules(project, ("shell: npm test", "shell: make"))
    home = approvals.path.parent
    environment = Environment({}, home, home, home, "tester")
    sourced = load_settings(environment, folder=project / "src", options={})
    assert sourced.settings.allow_on_host == ("shell: npm test", "shell: make")
    assert sourced.origins["allow_on_host"] == str(approvals.path)
    assert load(other).settings.allow_on_host == ()
    assert oct(approvals.path.stat().st_mode & 0o777) == "0o600"


def test_approvals_can_be_removed(project: Path, approvals: ApprovalsFile) -> None:
    path = write_project(project, 'allow = ["shell: make"]\n')
    approvals.trust(path, path.read_bytes())
    approvals.save_rules(project, ("shell: npm test",))
    approvals.forget(project, path)
    sourced = load(project)
    assert (sourced.settings.allow, sourced.settings.allow_on_host) == ((), ())


def test_a_damaged_file_is_an_error_and_is_kept(project: Path, approvals: ApprovalsFile) -> None:
    approvals.path.parent.mkdir()
    approvals.path.write_text('{"trusted": 3}')
    with pytest.raises(UsageError, match=r"approvals\.json.*Correct or delete the file"):
        load(project)
    with pytest.raises(UsageError, match=r"approvals\.json"):
        approvals.save_rules(project, ("shell: ls",))
    assert approvals.path.read_text() == '{"trusted": 3}'


def test_a_read_only_folder_is_an_error(project: Path) -> None:
    (project / "config").write_text("a file")
    with pytest.raises(UsageError, match="Cannot save your approval"):
        ApprovalsFile(project / "config").save_rules(project, ("shell: ls",))


def _keep(folder: Path, number: int) -> None:
    ApprovalsFile(folder).save_rules(Path("/project"), (f"shell: make {number}",))


def test_two_programs_can_save_rules_at_once(approvals: ApprovalsFile) -> None:
    with ProcessPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        list(pool.map(_keep, [approvals.path.parent] * 20, range(20)))
    assert len(approvals.read().rules["/project"]) == 20
