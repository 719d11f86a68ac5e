"""Finding the repository in the files that git writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmpilot.contract import LooksUp, ToolError
from vmpilot.tools.github._repository import find_repository, read_remotes, web_host

from .conftest import Caller, Hub


def git(folder: Path, *words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    environment |= {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


def clone(folder: Path, **remotes: str) -> Path:
    folder.mkdir()
    git(folder, "init", "-q")
    for name, url in remotes.items():
        git(folder, "remote", "add", name, url)
    return folder


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/octo/repo.git",
        "https://github.com/octo/repo/",
        "https://ada:ghp_secret@GitHub.com/octo/repo",
        "git@github.com:octo/repo.git",
        "github.com:octo/repo",
        "git@github.com:/octo/repo.git",
        "ssh://git@github.com/octo/repo.git",
        "ssh://git@ssh.github.com:443/octo/repo.git",
        "git://github.com/octo/repo",
    ],
)
def test_every_form_of_a_remote_is_understood(tmp_path: Path, url: str) -> None:
    folder = clone(tmp_path / "clone", origin=url)
    (folder / "deep" / "inside").mkdir(parents=True)
    assert str(find_repository(folder / "deep" / "inside", "github.com")) == "octo/repo"


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/octo/repo",
        "https://github.com.evil.example/octo/repo",
        "https://evil.example/github.com/octo/repo",
        "git@evil.example:github.com/octo",
        "/srv/github.com/octo/repo",
        "https://github.com/octo",
        "https://github.com/octo/repo/extra",
        "https://[github.com/octo/repo",
        "file://github.com/../octo",
    ],
)
def test_a_remote_elsewhere_or_of_another_form_is_ignored(tmp_path: Path, url: str) -> None:
    folder = clone(tmp_path / "clone", origin=url)
    with pytest.raises(ToolError, match=r"None of the working folder's remotes \(origin\) is on github\.com"):
        find_repository(folder, "github.com")


def test_origin_is_preferred_to_a_single_other_remote(tmp_path: Path) -> None:
    one, other = "https://github.com/octo/one", "https://github.com/octo/other"
    assert str(find_repository(clone(tmp_path / "a", upstream=other, origin=one), "github.com")) == "octo/one"
    assert (
        str(find_repository(clone(tmp_path / "b", mine=one, lab="https://gitlab.com/x/y"), "github.com")) == "octo/one"
    )
    assert str(find_repository(clone(tmp_path / "c", mine=one, yours=one), "github.com")) == "octo/one"
    with pytest.raises(ToolError, match=r"several remotes: octo/one \(mine\), octo/other \(yours\)\. Specify"):
        find_repository(clone(tmp_path / "d", mine=one, yours=other), "github.com")


def test_a_folder_without_a_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is not in a git repository with a remote"):
        find_repository(tmp_path, "github.com")


def test_a_worktree_knows_the_remotes_of_its_repository(tmp_path: Path) -> None:
    folder = clone(tmp_path / "clone", origin="https://github.com/octo/repo")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "topic")
    assert read_remotes(tmp_path / "tree") == {"origin": "https://github.com/octo/repo"}


def test_unusual_configurations_are_read_as_git_reads_them(tmp_path: Path) -> None:
    config = (
        '[remote "a \\"b\\""]\n\tfetch = +refs/*:refs/*\n\turl = "https://github.com/octo/re" po ; comment\n'
        '[Remote "c"] URL=https://github.com/octo/c # comment\n\turl = https://second.example/\n\tpushurl = x\n'
        '[branch "main"]\n\tremote = c\n\turl = https://not.example/\n[remote "empty"]\n\turl\n'
    )
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(config)
    assert read_remotes(tmp_path) == {'a "b"': "https://github.com/octo/re po", "c": "https://github.com/octo/c"}
    for name, url in read_remotes(tmp_path).items():
        said = subprocess.run(
            ["git", "config", "--file", ".git/config", "--get-all", f"remote.{name}.url"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.splitlines()[0] == url


def test_special_files_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "config")
    assert read_remotes(tmp_path) == {}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".git").write_bytes(b"gitdir: \xff\0/nowhere\n")
    assert read_remotes(tmp_path / "b") == {}


@pytest.mark.parametrize(
    ("api", "host"),
    [
        ("https://api.github.com", "github.com"),
        ("https://github.example.com/api/v3", "github.example.com"),
        ("https://api.octo.ghe.com", "octo.ghe.com"),
        ("https://api.example.com/api/v3", "api.example.com"),
    ],
)
def test_the_host_of_remotes_is_derived_from_the_api_url(api: str, host: str) -> None:
    assert web_host(api) == host


async def test_the_tool_uses_the_repository_of_the_working_folder(tmp_path: Path, hub: Hub) -> None:
    hub.add_issue("Disk full")
    caller = Caller(clone(tmp_path / "clone", origin="http://127.0.0.1/octo/repo.git"), hub.url)
    assert "Disk full" in (await caller("list_issues", repository="")).text
    assert caller.tool.effect({"action": "list_issues"}) == LooksUp()
    assert caller.tool.title({"action": "view_issue", "number": 1}) == 'GitHub view_issue octo/repo: {"number": 1}'
