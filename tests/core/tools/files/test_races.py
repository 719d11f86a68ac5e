"""Links and folders that are swapped between decision and run: the run uses the file that was approved, or fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmpilot.contract import ChangesFiles, ReadsFiles, Tool

from .conftest import Call, Refused, names

Swap = Callable[[], None]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder outside, with files of the same names."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("the secret\n")
    return tmp_path / "outside"


@pytest.fixture
def inside(root: Path) -> Path:
    (root / "sub").mkdir()
    (root / "sub" / "f").write_text("the plain\n")
    return root / "sub"


@pytest.fixture
def swap_file(inside: Path, secret: Path) -> Swap:
    def swap() -> None:
        (inside / "f").unlink()
        (inside / "f").symlink_to(secret / "f")

    return swap


@pytest.fixture
def swap_folder(inside: Path, secret: Path) -> Swap:
    def swap() -> None:
        inside.rename(inside.parent / "away")
        inside.symlink_to(secret)

    return swap


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {"path": "sub/f"}),
    ("edit_file", {"edits": [{"path": "sub/f", "search": "the", "replace": "x"}]}),
    ("create_file", {"path": "sub/new", "content": "x"}),
    ("find_files", {"pattern": "*", "path": "sub"}),
    ("search_text", {"pattern": "the", "path": "sub"}),
]


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
async def test_a_folder_that_became_a_link_is_rejected(
    refused: Refused, tool: str, arguments: dict[str, Any], swap_folder: Swap, secret: Path
) -> None:
    said = await refused(tool, arguments, meanwhile=swap_folder)
    assert "was replaced by a link in the meantime" in said
    assert "secret" not in said
    assert (secret / "f").read_text() == "the secret\n"
    assert names(secret) == ["f"]


@pytest.mark.parametrize(("tool", "arguments"), [*CALLS[:2], ("search_text", {"pattern": "the", "path": "sub/f"})])
async def test_a_file_that_became_a_link_is_rejected(
    refused: Refused, tool: str, arguments: dict[str, Any], swap_file: Swap, secret: Path
) -> None:
    said = await refused(tool, arguments, meanwhile=swap_file)
    assert "was replaced by a link" in said
    assert (secret / "f").read_text() == "the secret\n"


async def test_a_redirected_link_is_not_followed(call: Call, root: Path, inside: Path, secret: Path) -> None:
    (root / "link").symlink_to(inside)

    def turn() -> None:
        (root / "link").unlink()
        (root / "link").symlink_to(secret)

    assert "the plain" in (await call("read_file", {"path": "link/f"}, meanwhile=turn)).text


async def test_a_working_folder_that_moves_meanwhile_has_no_effect(
    call: Call, tools: dict[str, Tool], inside: Path
) -> None:
    workspace: Any = tools["read_file"]
    outcome = await call("read_file", {"path": "sub/f"}, meanwhile=lambda: workspace.workspace.move_to(inside))
    assert "the plain" in outcome.text


async def test_links_below_a_searched_folder_are_not_followed(call: Call, inside: Path, secret: Path) -> None:
    (inside / "link").symlink_to(secret / "f")
    (inside / "folder").symlink_to(secret)
    assert "secret" not in (await call("search_text", {"pattern": "the"})).text
    found = (await call("find_files", {"pattern": "*"})).text.split("\n")[:-1]
    assert found == ["sub/f", "sub/folder (link)", "sub/link (link)"]


def test_the_effect_follows_links_out_of_the_workspace(tools: dict[str, Tool], root: Path, secret: Path) -> None:
    (root / "link").symlink_to(secret)
    assert tools["read_file"].effect({"path": "link/f"}) == ReadsFiles((secret / "f",))
    assert tools["create_file"].effect({"path": "link/new", "content": ""}) == ChangesFiles((secret / "new",))
    assert tools["find_files"].effect({"pattern": "*", "path": "link"}) == ReadsFiles((secret,), below=True)
    assert tools["search_text"].effect({"pattern": "x", "path": "link/f"}) == ReadsFiles((secret / "f",))
    assert tools["read_file"].effect({"path": "link/../f"}) == ReadsFiles((secret.parent / "f",))
    assert "outside" in tools["read_file"].title({"path": "link/f"})
