"""Each mode with each kind of call, with and without a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpilot.contract import Acts, ChangesFiles, Effect, Fetches, LooksUp, ReadsFiles, RunsCommand
from vmpilot.permissions import PermissionPolicy, Rules

from .conftest import MakePolicy

MODES = ["observe", "operate", "full"]


@pytest.mark.parametrize(
    ("effect", "actions"),
    [
        pytest.param(LooksUp(), "allow allow allow", id="looks up"),
        pytest.param(Acts("issue create"), "deny ask allow", id="acts"),
        pytest.param(Fetches("https://example.org/x"), "deny ask allow", id="fetches"),
        pytest.param(ReadsFiles((Path("/etc/hostname"),)), "allow allow allow", id="reads"),
        pytest.param(ReadsFiles((Path("/root/.ssh/id_rsa"),)), "deny ask allow", id="reads a secret"),
        pytest.param(ReadsFiles((Path("/"),), below=True), "deny ask allow", id="searches the machine"),
        pytest.param(ChangesFiles((Path("/srv/x"),)), "deny ask allow", id="changes something outside"),
        pytest.param(ChangesFiles(()), "deny ask allow", id="changes nobody knows what"),
    ],
)
def test_decisions_by_mode_and_effect(effect: Effect, actions: str, make_policy: MakePolicy) -> None:
    assert [make_policy(mode).decide("tool", effect).action for mode in MODES] == actions.split()


def test_files_in_the_workspace_may_be_changed_except_those_that_run_automatically(
    make_policy: MakePolicy, workspace: Path
) -> None:
    policy = make_policy()
    assert policy.decide("edit_file", ChangesFiles((workspace / "src/new.py",))).action == "allow"
    assert make_policy("observe").decide("edit_file", ChangesFiles((workspace / "x",))).action == "deny"
    for name in (
        ".git/hooks/pre-commit",
        "sub/.git/config",
        ".envrc",
        ".bashrc",
        ".vscode/tasks.json",
        ".vmpilot.toml",
    ):
        assert policy.decide("edit_file", ChangesFiles((workspace / "x", workspace / name))).action == "ask", name


def test_our_own_folders_are_protected(tmp_path: Path) -> None:
    policy = PermissionPolicy("operate", workspace=tmp_path, confines=lambda: True, own=[tmp_path / "data"])
    assert policy.decide("edit_file", ChangesFiles((tmp_path / "data" / "log.db",))).action == "ask"
    assert policy.decide("edit_file", ChangesFiles((tmp_path / "other",))).action == "allow"
    assert policy.decide("shell", RunsCommand("touch data/log.db", tmp_path)).action == "ask"


def test_closed_folders_are_not_even_read(tmp_path: Path) -> None:
    policy = PermissionPolicy(
        "operate", workspace=tmp_path / "work", confines=lambda: True, private=[tmp_path / "data"]
    )
    for effect in (
        ReadsFiles((tmp_path / "data" / "log.db",)),
        ReadsFiles((tmp_path / "data",), below=True),
        ChangesFiles((tmp_path / "data" / "log.db",)),
        RunsCommand("cat ../data/log.db", tmp_path / "work"),
    ):
        assert policy.decide("tool", effect).action == "ask", effect
    assert policy.decide("read_file", ReadsFiles((tmp_path / "data.txt",))).action == "allow"
    inner = PermissionPolicy("operate", workspace=tmp_path, confines=lambda: True, private=[tmp_path / "data"])
    assert inner.decide("search_text", ReadsFiles((tmp_path,), below=True)).action == "ask"
    assert inner.decide("search_text", ReadsFiles((tmp_path / "src",), below=True)).action == "allow"


def test_a_file_with_hard_links_is_not_changed_unasked(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "profile").touch()
    (root / "innocent").hardlink_to(tmp_path / "profile")
    policy = PermissionPolicy("operate", workspace=root, confines=lambda: True)
    assert policy.decide("edit_file", ChangesFiles((root / "innocent",))).action == "ask"
    assert policy.decide("shell", RunsCommand("tee innocent", root)).action == "ask"
    assert policy.decide("edit_file", ChangesFiles((root / "other",))).action == "allow"


@pytest.mark.parametrize("place", ["bin", "link"])
def test_a_program_inside_the_workspace_is_not_trusted_by_its_name(tmp_path: Path, place: str) -> None:
    root = tmp_path / "work"
    (root / "bin").mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (root / "bin" / "ls").write_text("#!/bin/sh\n")
    (root / "bin" / "ls").chmod(0o755)
    (tmp_path / "link" / "ls").symlink_to(root / "bin" / "ls")
    folder = {"bin": root / "bin", "link": tmp_path / "link"}[place]
    policy = PermissionPolicy("operate", workspace=root, confines=lambda: True, search_path=f"{folder}:/usr/bin:/bin")
    assert policy.decide("shell", RunsCommand("ls", root)).action == "ask"
    assert policy.decide("shell", RunsCommand("cat x | wc", root)).action == "allow"
    behind = PermissionPolicy("operate", workspace=root, confines=lambda: True, search_path=f"/usr/bin:/bin:{folder}")
    assert behind.decide("shell", RunsCommand("ls", root)).action == "allow"


def test_with_a_shell_inside_the_workspace_no_line_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "bash").write_text("#!/bin/sh\n")
    (tmp_path / "bash").chmod(0o755)
    policy = PermissionPolicy(
        "operate", workspace=tmp_path, confines=lambda: True, search_path=f"{tmp_path}:/usr/bin:/bin"
    )
    assert policy.decide("shell", RunsCommand("ls", tmp_path)).action == "ask"


def test_without_a_sandbox_no_command_runs_unasked(make_policy: MakePolicy, workspace: Path) -> None:
    decision = make_policy(confines=False).decide("shell", RunsCommand("ls", workspace))
    assert decision.action == "ask"
    assert "vmpilot doctor" in decision.reason
    assert make_policy("observe", confines=False).decide("shell", RunsCommand("ls", workspace)).action == "deny"
    assert make_policy("full", confines=False).decide("shell", RunsCommand("rm x", workspace)).action == "allow"


def test_background_commands_need_approval(make_policy: MakePolicy, workspace: Path) -> None:
    decision = make_policy(allow=["shell: ls"]).decide("shell", RunsCommand("ls", workspace, background=True))
    assert (decision.action, decision.suggested_rules) == ("ask", ())


def test_in_mode_full_everything_runs_on_the_host_and_reading_runs_in_parallel(
    make_policy: MakePolicy, workspace: Path
) -> None:
    policy = make_policy("full", confines=False)
    for line, exclusive in {
        "ls": False,
        "ps aux": False,
        "cd src": True,
        "touch x": True,
        "git log": True,
        "$x": True,
    }.items():
        decision = policy.decide("shell", RunsCommand(line, workspace))
        assert (decision.action, decision.confinement, decision.exclusive) == ("allow", "host", exclusive), line


def test_paths_are_relative_to_the_folder_in_which_the_command_starts(make_policy: MakePolicy, workspace: Path) -> None:
    policy = make_policy()
    assert policy.decide("shell", RunsCommand("touch ../x", workspace / "src")).confinement == "workspace"
    assert policy.decide("shell", RunsCommand("touch ../x", workspace)).action == "ask"
    assert policy.decide("shell", RunsCommand("cat id_rsa", workspace.parent / ".ssh")).action == "ask"
    assert policy.decide("shell", RunsCommand("ls", Path("/run"))).action == "ask"
    assert policy.decide("shell", RunsCommand("grep -r x", Path("/"))).action == "ask"


@pytest.mark.parametrize("root", ["/", "/etc", "/root", "/home/somebody", "/usr/lib"])
def test_a_home_or_system_folder_is_not_writable_for_commands(root: str) -> None:
    policy = PermissionPolicy(
        "operate", workspace=Path(root), rules=Rules.read(allow=["shell: npm test"]), confines=lambda: True
    )
    assert policy.decide("shell", RunsCommand("touch x", Path(root))).action == "ask"
    assert policy.decide("shell", RunsCommand("npm test", Path(root))).action == "ask"
    assert policy.decide("shell", RunsCommand("ls", Path(root))).action == "allow"


def test_programs_in_a_home_are_protected() -> None:
    policy = PermissionPolicy("operate", workspace=Path("/home/nobody-here"), confines=lambda: True)
    assert policy.decide("create_file", ChangesFiles((Path("/home/nobody-here/bin/ls"),))).action == "ask"
    assert policy.decide("create_file", ChangesFiles((Path("/home/nobody-here/notes"),))).action == "allow"
