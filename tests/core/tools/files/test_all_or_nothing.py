"""Edits of many files on a full disk, with concurrent writers, and of files that cannot be replaced."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vmpilot.contract import ToolError
from vmpilot.tools.files._content import read_content
from vmpilot.tools.files._threads import Stopped, Watch
from vmpilot.tools.files._writing import Change, commit_changes, write_new

from .conftest import Refused, names

NOBODY = 65_534


class Meanwhile(Watch):
    """Does something when everything is staged and nothing is changed yet."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(10)
        self._act = act

    def check(self) -> None:
        self._act()
        super().check()


def change(path: Path, after: bytes) -> Change:
    return Change(read_content(path, limit=1_000_000), after, path.name)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limits the size of files: as on a full disk, the write fails halfway."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def as_nobody() -> Iterator[None]:
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can access."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("linked", [(), ("a",), ("b",), ("a", "b")])
async def test_a_full_disk_changes_nothing(refused: Refused, root: Path, linked: tuple[str, ...]) -> None:
    for name in ("a", "b", "c"):
        (root / name).write_text("old\n" * 10)
    for name in linked:
        (root / f"{name}2").hardlink_to(root / name)
    present = names(root)
    edits = [{"path": name, "search": "old", "replace": "new", "all": True} for name in ("a", "c")]
    edits.insert(1, {"path": "b", "search": "old", "replace": "much longer than before " * 20, "all": True})
    with file_size_limit(1_000):
        said = await refused("edit_file", {"edits": edits})
    assert said == "b: it would exceed the maximum file size.\nNo file was changed."
    assert {(root / name).read_text() for name in present} == {"old\n" * 10}
    assert names(root) == present


async def test_a_full_disk_creates_no_file_and_no_folders(refused: Refused, root: Path) -> None:
    with file_size_limit(1_000):
        said = await refused("create_file", {"path": "new/f", "content": "x" * 2_000})
    assert said.startswith("new/f: it would exceed")
    assert names(root) == []


@pytest.mark.parametrize("linked", [False, True])
def test_another_writer_wins_and_all_is_restored(root: Path, linked: bool) -> None:
    for name in ("a", "b", "c"):
        (root / name).write_text("old")
    if linked:
        (root / "a2").hardlink_to(root / "a")
    present = names(root)
    changes = [change(root / name, b"new and longer") for name in ("a", "b", "c")]
    with pytest.raises(ToolError, match=r"c was changed by another program just now"):
        commit_changes(changes, Meanwhile(lambda: (root / "c").write_text("theirs!")))
    assert [(root / name).read_text() for name in ("a", "b", "c")] == ["old", "old", "theirs!"]
    assert names(root) == present


def test_a_file_that_was_replaced_meanwhile_is_left_alone(root: Path) -> None:
    (root / "a").write_text("old")
    (root / "theirs").write_text("old")

    with pytest.raises(ToolError, match="changed by another program"):
        commit_changes([change(root / "a", b"new")], Meanwhile(lambda: (root / "theirs").rename(root / "a")))
    assert (root / "a").read_text() == "old"
    assert names(root) == ["a"]


def test_canceled_before_the_first_rename_nothing_was_changed(root: Path) -> None:
    (root / "a").write_text("old")
    watch = Watch(10)
    watch.stop()
    with pytest.raises(Stopped):
        commit_changes([change(root / "a", b"new")], watch)
    with pytest.raises(Stopped):
        write_new(root / "sub" / "b", b"new", watch)
    assert (root / "a").read_text() == "old"
    assert names(root) == ["a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("folder_mode", [0o755, 0o777])
def test_a_writable_file_of_another_user_keeps_its_owner(public: Path, folder_mode: int) -> None:
    path = public / "shared"
    path.write_text("old")
    path.chmod(0o666)
    public.chmod(folder_mode)
    inode = path.stat().st_ino
    with as_nobody():
        commit_changes([change(path, b"new")], Watch(10))
    facts = path.stat()
    assert (path.read_text(), facts.st_uid, facts.st_ino) == ("new", 0, inode)
    assert names(public) == ["shared"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_read_only_file_of_another_user_is_not_replaced(public: Path) -> None:
    path = public / "theirs"
    path.write_text("old")
    path.chmod(0o644)
    with as_nobody(), pytest.raises(ToolError, match=r"theirs: permission denied \(owner root, mode 0644\)"):
        commit_changes([change(path, b"new")], Watch(10))
    assert path.read_text() == "old"
