from __future__ import annotations

from pathlib import Path

import pytest

from vmpilot.contract import UsageError
from vmpilot.workspace import Workspace


def test_links_are_followed_and_the_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.at(Path("~/link")).root == (tmp_path / "real").resolve()


@pytest.mark.parametrize("name", ["missing", "file", "loop", "x" * 300, "a\0b"])
def test_what_is_no_folder_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match=name):
        Workspace.at(tmp_path / name)


def test_a_folder_that_was_deleted_gives_way_to_the_root(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    (tmp_path / "sub").mkdir()
    workspace.move_to(tmp_path / "sub")
    assert workspace.folder == tmp_path / "sub"
    (tmp_path / "sub").rmdir()
    assert workspace.folder == workspace.root == tmp_path
