"""`vmpilot compare`: a worktree per candidate, the outcomes, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Step

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here


def runs(command: str) -> Reply:
    return Reply(tool_calls=(ScriptedCall("shell", {"command": command}),))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to compare in; temporary folders go below `places`."""
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setenv("TMPDIR", str(places))
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    return tmp_path / "work"


@pytest.fixture
def repository(here: Here, work: Path) -> Path:
    """A repository with a commit, a change since, a new file and an ignored one."""
    (work / "sub").mkdir()
    (work / "sub" / "old").write_text("committed\n")
    (work / ".gitignore").write_text("ignored*\n")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")
    (work / "sub" / "old").write_text("changed\n")
    (work / "new").write_text("new\n")
    (work / "ignored").write_text("ignored\n")
    return work


def git(folder: Path, *words: str) -> str:
    return subprocess.run(("git", "-C", folder, *words), check=True, capture_output=True, text=True).stdout


def state(folder: Path) -> dict[str, bytes]:
    """The user's files, without git's own."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def compare(here: Here, server: ScriptedServer, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    ran = here(
        "compare", "do it", "--base-url", server.base_url, "--mode", "full", "--json", "--backends", "bare", *words
    )
    return ran.code, json.loads(ran.out), ran.err


def test_each_candidate_has_its_own_worktree(here: Here, repository: Path) -> None:
    before = state(repository)
    script = [
        runs("cat sub/old new; ls; echo done > result; echo x > ignored2; rm sub/old"),
        Reply("I did it."),
        runs("test ! -e result && echo more >> new"),
        Reply("I did it, too."),
    ]
    with ScriptedServer(script) as server:
        code, (first, second), told = compare(here, server, "--models", "a,b", "--check", "test -f result")
    assert code == 1
    assert (first["model"], first["reason"], first["files"]) == ("a", "answered", ["result", "sub/old"])
    assert (second["model"], second["reason"], second["files"]) == ("b", "answered", ["new"])
    assert [each["check_passed"] for each in (first, second)] == [True, False]
    assert [(each["steps"], each["usage"]["input_tokens"]) for each in (first, second)] == [(2, 200), (2, 200)]
    output = server.requests[1].messages[-1]["content"]
    assert "changed\nnew\nnew\nsub\n" in output
    assert told.startswith("1 of 2: bare, a\n  $ cat sub/old new")
    assert state(repository) == before
    assert git(repository, "worktree", "list").count("\n") == 1
    assert list((repository.parent / "places").iterdir()) == []


def test_a_folder_without_git_is_copied(here: Here, work: Path) -> None:
    (work / "old").write_text("old\n")
    with ScriptedServer([runs("cat old; echo x > made; chmod +x old"), Reply("Done.")]) as server:
        code, (outcome,), _ = compare(here, server, "--models", "m")
    assert (code, outcome["files"], outcome["check_passed"]) == (0, ["made", "old"], None)
    assert state(work) == {"old": b"old\n"}


def test_a_repository_whose_changes_cannot_be_copied_is_an_error(here: Here, repository: Path) -> None:
    git(repository, "add", "--intent-to-add", "new")
    ran = here("compare", "it", "--backends", "bare", "--models", "m")
    assert ran.code == 2
    assert "git stash failed" in ran.err
    assert "new" in ran.err


def test_the_index_is_not_changed(here: Here, repository: Path) -> None:
    os.utime(repository / ".gitignore", (1, 1))  # which git would note
    before = (repository / ".git" / "index").read_bytes()
    with ScriptedServer([Reply("Done.")]) as server:
        code, _, _ = compare(here, server, "--models", "m")
    assert code == 0
    assert (repository / ".git" / "index").read_bytes() == before


def test_a_folder_that_is_too_large_is_not_copied(here: Here, work: Path) -> None:
    with (work / "image").open("wb") as file:
        file.truncate(3 * 1024**3)  # takes no room on the disk
    ran = here("compare", "it", "--backends", "bare", "--models", "m")
    assert (ran.code, ran.out) == (2, "")
    assert "larger than 2,048 MiB, the limit for a copy" in ran.err
    assert list((work.parent / "places").iterdir()) == []


def test_candidates_work_in_the_same_subfolder(here: Here, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "sub")
    with ScriptedServer([runs("cp old copy"), Reply("Done.")]) as server:
        code, (outcome,), _ = compare(here, server, "--models", "m")
    assert (code, outcome["files"]) == (0, ["sub/copy"])


def test_folders_can_be_kept(here: Here, work: Path) -> None:
    with ScriptedServer([runs("echo x > made"), Reply("Done.")]) as server:
        ran = here(
            "compare",
            "it",
            "--backends",
            "bare",
            "--models",
            "m",
            "--base-url",
            server.base_url,
            "--mode",
            "full",
            "--keep",
        )
    kept = Path(ran.err.rstrip().rpartition("kept in ")[2])
    assert (kept / "made").read_text() == "x\n"
    assert kept.is_relative_to(work.parent / "places")


def test_a_failed_candidate_is_a_row_and_the_others_continue(here: Here, work: Path) -> None:
    script: list[Step] = [HttpError(401, "no"), Reply("Done.")]
    with ScriptedServer(script) as server:
        ran = here("compare", "it", "--backends", "bare", "--models", "a,b", "--base-url", server.base_url)
    assert ran.code == 1
    heads, first, second = ran.out.splitlines()
    assert heads.split() == ["backend", "model", "result", "steps", "tokens", "cost", "time", "files"]
    assert first.split()[:3] == ["bare", "a", "failed"]
    assert second.split()[:3] == ["bare", "b", "answered"]
    assert "bare, a: " in ran.err
    assert "status 401" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--backends", "bare,nobody"), 5, 'Backend "nobody" (--backends) is not installed'),
        (("--cwd", "nowhere"), 2, "No such folder: nowhere"),
        (("--mode", "wild"), 2, "invalid choice"),
    ],
)
def test_invalid_arguments_are_rejected(here: Here, work: Path, words: tuple[str, ...], code: int, told: str) -> None:
    ran = here("compare", "it", *words)
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err


def test_an_interrupted_comparison_shows_partial_results_and_cleans_up(
    program: Callable[..., subprocess.Popen[str]], variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "places").mkdir()
    variables["TMPDIR"] = str(tmp_path / "places")
    script = [Reply("Done."), runs("sleep 1000")]
    with ScriptedServer(script) as server:
        words = (
            "it",
            "--backends",
            "bare",
            "--models",
            "a,b",
            "--mode",
            "full",
            "--json",
            "--base-url",
            server.base_url,
        )
        running = program("compare", *words, cwd=tmp_path / "work")
        assert running.stderr is not None
        assert any("sleep 1000" in line for line in running.stderr)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=20)
    assert running.returncode == 130
    assert [outcome["model"] for outcome in json.loads(out)] == ["a"]
    assert list((tmp_path / "places").iterdir()) == []
