"""Git repositories without `.git`: guarded by the policy and the sandbox, and never assembled undetected."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from vmpilot.contract import ChangesFiles, RunsCommand
from vmpilot.machine.sandbox.repositories import survey
from vmpilot.machine.workspace import endangered_repository, is_bare_repository, surrounding_repository
from vmpilot.permissions import PermissionPolicy

PARTS = {"HEAD": "ref: refs/heads/main\n", "objects/": "", "refs/": "", "config": "", "commondir": "", "hooks/": ""}


def _make(folder: Path, *parts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if part.endswith("/"):
            (folder / part).mkdir()
        else:
            (folder / part).write_text("../real.git\n" if part == "commondir" else PARTS[part])


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _runs_programs(folder: Path) -> bool:
    """Whether `git status` in the folder runs a program that the folder's configuration names."""
    done = subprocess.run(
        ["git", "config", "--get", "vmpilot.marker"],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": "/nonexistent", "GIT_CEILING_DIRECTORIES": str(folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout == "read\n"


_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[vmpilot]\n\tmarker = read\n"


@pytest.mark.parametrize(
    "parts",
    [parts for size in range(5) for parts in itertools.combinations(["HEAD", "objects/", "refs/", "commondir"], size)],
)
def test_a_folder_is_a_repository_if_git_treats_it_as_one(parts: tuple[str, ...], tmp_path: Path) -> None:
    _make(tmp_path / "real.git", "HEAD", "objects/", "refs/")
    (tmp_path / "real.git" / "config").write_text(_CONFIG)
    _make(tmp_path / "sub", *parts)
    (tmp_path / "sub" / "config").write_text(_CONFIG)
    ours = is_bare_repository(_names(tmp_path / "sub"))
    assert ours or not _runs_programs(tmp_path / "sub")
    assert (tmp_path / "sub" in survey(tmp_path, [".git"], seconds=5).guarded) == ours
    inside = str(tmp_path / "sub" / "description")
    assert endangered_repository(inside, str(tmp_path)) == (str(tmp_path / "sub") if ours else None)


def _allows(policy: PermissionPolicy, root: Path, path: str) -> bool:
    return policy.decide("create_file", ChangesFiles((root / path,))).action == "allow"


@pytest.mark.parametrize("order", list(itertools.permutations(["HEAD", "objects/x", "refs/x", "config"])), ids="-".join)
def test_a_repository_cannot_be_assembled_step_by_step(order: tuple[str, ...], tmp_path: Path) -> None:
    policy = PermissionPolicy("operate", workspace=tmp_path, confines=lambda: True)
    for name in order:
        path = tmp_path / "sub" / name
        line = f"mkdir -p sub/{name}" if "/" in name else f"touch sub/{name}"
        allowed = _allows(policy, tmp_path, f"sub/{name}")
        if path.parent.is_dir() or line.startswith("mkdir"):
            assert (policy.decide("shell", RunsCommand(line, tmp_path)).action == "allow") == allowed, line
        if allowed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_CONFIG if name == "config" else "ref: refs/heads/main\n")
    assert not is_bare_repository(_names(tmp_path / "sub"))
    assert not _runs_programs(tmp_path / "sub")


@pytest.mark.parametrize(
    "line",
    [
        "mkdir -p sub/objects sub/refs; touch sub/HEAD",
        "echo x > sub/HEAD",
        "cp a sub/HEAD",
        "mv a sub/HEAD",
        "cp HEAD sub",
        "mv half new; mkdir new/refs",
        "mv half new && mkdir -p new/objects/pack new/refs/heads",
        "mkdir half/refs",
        "mkdir -p half/REFS/heads",
        "cp a half/commondir",
        "mv objects half",
        "mkdir -p half/x half/objects",
        "touch vendor.git/config",
        "tee vendor.git/hooks/post-update",
        "mkdir vendor.git/new",
        "mv vendor.git x",
        "chmod +x vendor.git/hooks/post-update",
        "cd vendor.git && touch description",
        "sed -i s/a/b/ vendor.git/config",
        "cp a tree/config",
        "cp a vendor.git",
    ],
)
def test_commands_cannot_write_into_repositories_or_complete_them(line: str, tmp_path: Path) -> None:
    _make(tmp_path / "vendor.git", "HEAD", "objects/", "refs/", "config", "hooks/")
    (tmp_path / "vendor.git" / "hooks" / "post-update").touch()
    _make(tmp_path / "half", "HEAD")
    _make(tmp_path / "tree", "HEAD", "commondir")
    for folder in ("sub", "objects"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a").touch()
    (tmp_path / "HEAD").touch()
    policy = PermissionPolicy("operate", workspace=tmp_path, confines=lambda: True)
    assert policy.decide("shell", RunsCommand(line, tmp_path)).action == "ask"


def test_other_files_are_changed_as_before(tmp_path: Path) -> None:
    _make(tmp_path / "half", "HEAD", "config")
    policy = PermissionPolicy("operate", workspace=tmp_path, confines=lambda: True)
    for path in (
        "objects/x",
        "refs/x",
        "src/refs/x.py",
        "half/config",
        "half/HEAD",
        "half/src/objects/y",
        "config",
        "HEADER",
    ):
        assert _allows(policy, tmp_path, path), path
    for line in ("mkdir -p objects refs", "cp half/config x", "mv half/config x", "touch half/HEAD"):
        assert policy.decide("shell", RunsCommand(line, tmp_path)).action == "allow", line


def test_a_workspace_inside_a_repository_is_not_changed_without_approval(tmp_path: Path) -> None:
    bare = tmp_path / "x.git"
    _make(bare, "HEAD", "objects/", "refs/", "hooks/")
    (tmp_path / "tree" / ".git" / "hooks").mkdir(parents=True)
    for root in (bare, bare / "hooks", tmp_path / "tree" / ".git" / "hooks", tmp_path / "tree" / ".git"):
        assert surrounding_repository(str(root)) is not None
        policy = PermissionPolicy("operate", workspace=root, confines=lambda: True)
        assert not _allows(policy, root, "post-update")
        assert policy.decide("shell", RunsCommand("touch post-update", root)).action == "ask"
    (bare / "main").mkdir()
    (bare / "main" / ".git").write_text("gitdir: ../worktrees/main\n")
    for root in (bare / "main", tmp_path / "tree"):
        assert surrounding_repository(str(root)) is None
        assert _allows(PermissionPolicy("operate", workspace=root, confines=lambda: True), root, "a.txt")
