"""`create_file` is atomic and never overwrites."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vmpilot.contract import ChangesFiles, Tool

from .conftest import Call, Refused, names


async def test_a_file_and_its_folders_are_created(call: Call, root: Path) -> None:
    outcome = await call("create_file", {"path": "a/b/c.txt", "content": "ä\nx"})
    assert outcome.text == "Created a/b/c.txt: 2 lines, 4 bytes. New folders: a/, a/b/."
    assert (root / "a/b/c.txt").read_bytes() == "ä\nx".encode()
    assert (await call("create_file", {"path": "empty", "content": ""})).text == "Created empty: 0 lines, 0 bytes."
    assert names(root) == ["a", "empty"]


async def test_the_umask_determines_the_mode(call: Call, root: Path) -> None:
    before = os.umask(0o027)
    try:
        await call("create_file", {"path": "f", "content": "x\n"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o640


async def test_nothing_is_overwritten(refused: Refused, root: Path) -> None:
    (root / "f").write_text("old")
    (root / "sub").mkdir()
    for name in ("f", "sub", "."):
        assert "already exists" in await refused("create_file", {"path": name, "content": "new"})
    assert (root / "f").read_text() == "old"
    assert names(root) == ["f", "sub"]


async def test_a_file_created_meanwhile_is_not_overwritten(refused: Refused, root: Path) -> None:
    def come() -> None:
        (root / "f").write_text("theirs")

    assert "already exists" in await refused("create_file", {"path": "f", "content": "ours"}, meanwhile=come)
    assert (root / "f").read_text() == "theirs"


async def test_the_effect_names_the_target_of_a_dangling_link(tools: dict[str, Tool], root: Path, call: Call) -> None:
    (root / "link").symlink_to("end")
    assert tools["create_file"].effect({"path": "link", "content": ""}) == ChangesFiles((root / "end",))
    await call("create_file", {"path": "link", "content": "x"})
    assert (root / "end").read_text() == "x"


async def test_a_failure_leaves_nothing_behind(refused: Refused, root: Path) -> None:
    (root / "f").touch()
    assert "not a folder" in await refused("create_file", {"path": "f/g", "content": "x"})
    assert "name is too long" in await refused("create_file", {"path": f"new/{'x' * 300}", "content": "x"})
    assert names(root) == ["f"]


def test_the_title_shows_the_complete_content(tools: dict[str, Tool]) -> None:
    assert tools["create_file"].title({"path": "f", "content": "a\n\nb\n"}) == "create f\n+a\n+\n+b"
    assert tools["create_file"].title({"path": "/x/f", "content": ""}) == "create /x/f"
