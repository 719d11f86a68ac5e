"""The search of a workspace: complete if there is time; otherwise the rest is unseen."""

from __future__ import annotations

from pathlib import Path

from vmpilot.machine.sandbox.repositories import survey


def test_without_time_everything_is_unseen(tmp_path: Path) -> None:
    (tmp_path / "a" / ".git").mkdir(parents=True)
    found = survey(tmp_path, [".git"], seconds=-1)
    assert (found.guarded, found.unseen) == ((), (tmp_path,))


def test_unseen_folders_are_summarized(tmp_path: Path) -> None:
    """However short the time: each repository is guarded, or in an unseen folder."""
    repositories = [tmp_path / f"{number % 7}" / f"{number}" / "deep" / ".git" for number in range(300)]
    for path in repositories:
        path.mkdir(parents=True)
    for seconds in (0.0, 0.0005, 0.001, 0.003, 0.01):
        found = survey(tmp_path, [".git"], seconds=seconds)
        closed = {*found.guarded, *found.unseen}
        assert all(closed & {path, *path.parents} for path in repositories)
        assert len(found.unseen) <= 16


def test_bulky_folders_come_last(tmp_path: Path) -> None:
    for name in ("node_modules/x/.git", "src/.git"):
        (tmp_path / name).mkdir(parents=True)
    assert survey(tmp_path, [".git"], seconds=5).guarded == (
        tmp_path / "src" / ".git",
        tmp_path / "node_modules" / "x" / ".git",
    )


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a").mkdir()
    assert survey(tmp_path, [".git"], seconds=5).guarded == ()
