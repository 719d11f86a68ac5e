from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import UsageError
from vmpilot.machine.workspace import (
    LinkInTheWay,
    NotRegular,
    Workspace,
    open_below,
    open_regular,
    opened_folder,
    show_name,
)
from vmpilot.machine.workspace.names import read_name


def test_links_and_the_home_folder_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.at(Path("~/link")).root == (tmp_path / "real").resolve()


@pytest.mark.parametrize("name", ["missing", "file", "loop", "x" * 300, "a\0b"])
def test_an_error_names_what_is_not_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match=name):
        Workspace.at(tmp_path / name)


def test_a_deleted_folder_is_replaced_by_the_root(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    (tmp_path / "sub").mkdir()
    workspace.move_to(tmp_path / "sub")
    assert workspace.folder == tmp_path / "sub"
    (tmp_path / "sub").rmdir()
    assert workspace.folder == workspace.root == tmp_path


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("f", "work/f"),
        (".", "work"),
        ("../f", "f"),
        ("link/f", "real/f"),
        ("link/../f", "f"),
        ("missing/../link/x/y", "real/x/y"),
        ("~nobody-of-this-name/f", "work/~nobody-of-this-name/f"),
    ],
)
def test_paths_are_resolved_from_the_folder_with_links_followed(tmp_path: Path, text: str, meant: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(tmp_path / "real")
    workspace = Workspace.at(tmp_path)
    workspace.move_to(tmp_path / "work")
    assert workspace.resolve(text) == tmp_path / meant


def test_a_path_in_the_folder_is_shown_relative(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    assert workspace.show(tmp_path / "a" / "b") == "a/b"
    assert workspace.show(tmp_path) == "."
    assert workspace.show(Path("/etc/hosts")) == "/etc/hosts"


@given(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_a_name_of_any_bytes_is_shown_on_one_line_and_parsed_again(name: bytes) -> None:
    shown = show_name(os.fsdecode(name))
    assert shown.encode().decode().isprintable() or not shown.isascii()
    assert "\n" not in shown
    assert b"\\x" in name or os.fsencode(read_name(shown)) == name


def test_a_path_cannot_contain_nul(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NUL"):
        Workspace.at(tmp_path).resolve("a\0b")


def test_folders_are_opened_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with opened_folder(tmp_path / "real" / "sub") as folder:
        assert os.path.samestat(os.fstat(folder), (tmp_path / "real" / "sub").stat())
        for relative in ("../f", "./../f", "x/../f"):
            with pytest.raises(OSError, match=r"not resolved|No such"):
                open_below(folder, relative)
    for path in (tmp_path / "link" / "sub", tmp_path / "link", tmp_path / "real" / ".." / "real"):
        with pytest.raises(LinkInTheWay), opened_folder(path):
            pass


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "link").symlink_to("f")
    before = _open_descriptors()
    with opened_folder(tmp_path) as folder:
        os.close(open_regular(folder, "f")[0])
        for name, error in (("link", LinkInTheWay), (".", NotRegular), ("nowhere", FileNotFoundError)):
            with pytest.raises(error):
                open_regular(folder, name)
    with pytest.raises(NotADirectoryError), opened_folder(tmp_path / "f"):
        pass
    assert _open_descriptors() == before


def _open_descriptors() -> list[str]:
    return [path.name for path in Path("/proc/self/fd").iterdir()]
