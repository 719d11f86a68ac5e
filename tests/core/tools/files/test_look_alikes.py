"""Names and texts that differ only invisibly: a single look-alike is used, and the difference is reported."""

from __future__ import annotations

import errno
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import ReadsFiles, Tool
from vmpilot.contract.invisible import find_look_alike, fold_invisible
from vmpilot.machine.workspace import Workspace

from .conftest import Call, Refused, names

NNBSP, NBSP = "U+202F NARROW NO-BREAK SPACE", "U+00A0 NO-BREAK SPACE"
PAIRS = [
    ("Screenshot 1.01.11\u202fAM.txt", "Screenshot 1.01.11 AM.txt", f"{NNBSP} instead of U+0020 SPACE"),
    ("a b", "a\u00a0b", f"U+0020 SPACE instead of {NBSP}"),
    ("cafe\u0301", "caf\u00e9", "U+0065 LATIN SMALL LETTER E with U+0301 COMBINING ACUTE ACCENT"),
    ("caf\u00e9", "cafe\u0301", "U+00E9 LATIN SMALL LETTER E WITH ACUTE instead of"),
    ("\ud55c\uae00", unicodedata.normalize("NFD", "\ud55c\uae00"), "U+D55C HANGUL SYLLABLE HAN instead of"),
    ("a\u200b.txt", "a.txt", "U+200B ZERO WIDTH SPACE instead of U+002E FULL STOP"),
    ("a\u3000b", "a b", "U+3000 IDEOGRAPHIC SPACE instead of U+0020 SPACE"),
    ("x\u2060\u00ady", "xy", "U+2060 WORD JOINER instead of"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=ascii)
async def test_a_single_look_alike_is_read(
    call: Call, tools: dict[str, Tool], root: Path, pair: tuple[str, str, str]
) -> None:
    there, given_name, difference = pair
    (root / there).write_text("words\n")
    (root / "other").write_text("no\n")
    assert tools["read_file"].effect({"path": given_name}) == ReadsFiles((root / there,))
    said = (await call("read_file", {"path": given_name})).text
    assert said.startswith("    1\twords\n[line 1 of 1; used instead of ")
    assert f"its name has {difference}" in said
    assert "used instead of" not in (await call("read_file", {"path": there})).text


async def test_folders_on_the_way_count_too(call: Call, root: Path) -> None:
    (root / "My\u00a0Files" / "cafe\u0301").mkdir(parents=True)
    (root / "My\u00a0Files" / "cafe\u0301" / "f").write_text("words\n")
    said = (await call("read_file", {"path": "My Files/caf\u00e9/f"})).text
    assert f"{NBSP} instead of U+0020 SPACE; U+0065" in said
    await call("create_file", {"path": "My Files/caf\u00e9/new", "content": "x\n"})
    assert names(root / "My\u00a0Files" / "cafe\u0301") == ["f", "new"]


async def test_several_look_alikes_are_an_error_that_names_each_difference(refused: Refused, root: Path) -> None:
    for name in ("a\u00a0b", "a\u202fb"):
        (root / name).touch()
    said = await refused("read_file", {"path": "a b"})
    assert said.startswith("a b does not exist. Names that look the same: ")
    assert f"(it has {NBSP} instead of U+0020 SPACE)" in said
    assert f"(it has {NNBSP} instead of U+0020 SPACE)" in said


async def test_an_exact_name_wins_and_a_visibly_different_name_is_not_used(
    call: Call, refused: Refused, root: Path
) -> None:
    for name in ("a b", "a\u00a0b", "\u0430.txt", "A"):
        (root / name).write_text(f"{name!a}\n")
    assert "'a b'" in (await call("read_file", {"path": "a b"})).text
    assert (await refused("read_file", {"path": "a.txt"})).startswith("a.txt does not exist.")
    assert (await refused("read_file", {"path": "a"})).startswith("a does not exist.")


async def test_a_new_file_must_not_look_like_an_existing_one(refused: Refused, root: Path) -> None:
    (root / "cafe\u0301").write_text("old\n")
    said = await refused("create_file", {"path": "caf\u00e9", "content": "new\n"})
    assert "already exists (used instead of caf\u00e9: its name has U+0065" in said
    assert names(root) == ["cafe\u0301"]


async def test_an_edit_says_which_file_it_used(call: Call, root: Path) -> None:
    (root / "n\u00a0.py").write_text("x = 1\n")
    edit = {"path": "n .py", "search": "x = 1", "replace": "x = 2"}
    said = (await call("edit_file", {"edits": [edit]})).text
    assert f"used instead of n .py: its name has {NBSP}" in said
    assert (root / "n\u00a0.py").read_text() == "x = 2\n"


@pytest.mark.parametrize(
    ("line", "search", "difference"),
    [
        ("x\u00a0=\u00a01", "x = 1", f"{NBSP} instead of U+0020 SPACE"),
        ("y" * 400 + "x\u00a0= 1" + "z" * 400, "x = 1", f"{NBSP} instead of U+0020 SPACE"),
        ("name = 'cafe\u0301'", "name = 'caf\u00e9'", "U+0065 LATIN SMALL LETTER E with U+0301"),
        ("a\u200bb = 1", "ab = 1", "U+200B ZERO WIDTH SPACE instead of U+0062 LATIN SMALL LETTER B"),
        ("x = 1", "x\u00a0= 1", f"U+0020 SPACE instead of {NBSP}"),
    ],
)
async def test_the_error_for_a_look_alike_text_names_the_character(
    refused: Refused, root: Path, line: str, search: str, difference: str
) -> None:
    (root / "f").write_text(f"first\n{line}\nlast\n")
    said = await refused("edit_file", {"edits": [{"path": "f", "search": search, "replace": "y"}]})
    assert f"Line 2 looks the same, but has {difference}" in said
    assert "Copy it exactly" not in said


@pytest.mark.parametrize("path", ["loop", "loop/x", "one", "sub/../one"])
async def test_a_loop_of_links_is_reported(refused: Refused, root: Path, path: str) -> None:
    (root / "sub").mkdir()
    (root / "loop").symlink_to("loop")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    assert (await refused("read_file", {"path": path})).endswith("its links form a loop.")


LOOKS = st.text("ab \u00a0\u202f\u200b\u0301e\u00e9\u3164\u1100\u1161\uac00\u11a8", max_size=8)


@given(LOOKS, LOOKS, LOOKS)
def test_a_look_alike_is_part_of_the_text_and_looks_as_requested(before: str, piece: str, after: str) -> None:
    text = before + piece + after
    wanted = fold_invisible(piece)
    found = find_look_alike(text, wanted)
    if found is not None:
        assert found in text
        assert found != wanted
        assert fold_invisible(found) == wanted


def test_a_folder_that_cannot_be_listed_has_no_look_alikes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Workspace(tmp_path).resolve("file/a\u00a0b") == tmp_path / "file" / "a\u00a0b"
    with pytest.raises(OSError, match="name too long") as caught:
        (tmp_path / ("\u00e9" * 300)).stat()
    assert caught.value.errno == errno.ENAMETOOLONG
    assert Workspace(tmp_path).resolve("\u00e9" * 300).name == "\u00e9" * 300
