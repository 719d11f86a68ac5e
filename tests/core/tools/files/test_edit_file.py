"""`edit_file`: what it matches, what it preserves, and its errors."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from vmpilot.contract import ChangesFiles, Tool

from .conftest import Call, Refused, names


def edits(*given: tuple[str, str, str], everywhere: bool = False) -> dict[str, Any]:
    more = {"all": True} if everywhere else {}
    return {"edits": [{"path": path, "search": search, "replace": replace, **more} for path, search, replace in given]}


@pytest.mark.parametrize(
    "case",
    [
        (b"a b c\n", "b", "x", b"a x c\n"),
        (b"a\r\nb\r\nc\r\n", "a\nb\n", "a\nnew\nb\n", b"a\r\nnew\r\nb\r\nc\r\n"),
        (b"a\r\nb\r\n", "a\r\nb", "c\r\nd", b"c\r\nd\r\n"),
        (b"a\r\nb\nc\r\n", "b\nc", "x\ny", b"a\r\nx\ny\r\n"),
        (b"a\nb\r\nc\n", "b\n", "b\nx\n", b"a\nb\r\nx\r\nc\n"),
        (b"a\nb", "b", "c\nd", b"a\nc\nd"),
        (b"a\nb", "b", "c\n", b"a\nc\n"),
        (b"a\nb\n", "a\nb\n", "a\nb", b"a\nb"),
        (b"a\nb\nc\n", "b\n", "", b"a\nc\n"),
        (b"a\nb\nc\n", "a\nb", "ab", b"ab\nc\n"),
        (b"a\n", "a\n", "", b""),
        (b"\xef\xbb\xbfa\n", "a", "b", b"\xef\xbb\xbfb\n"),
        ("ä\r\n".encode("utf-16"), "ä", "ö→\nx", "ö→\r\nx\r\n".encode("utf-16")),
        ("café\n".encode("latin-1"), "é", "è", "cafè\n".encode("latin-1")),
        ("äöü".encode() + b"\xff\xe9 x\n", " x", " y", "äöü".encode() + b"\xff\xe9 y\n"),
        (b"a\rb\n", "b", "c", b"a\rc\n"),
    ],
)
async def test_other_bytes_are_unchanged(call: Call, root: Path, case: tuple[bytes, str, str, bytes]) -> None:
    before, search, replace, after = case
    (root / "f").write_bytes(before)
    await call("edit_file", edits(("f", search, replace)))
    assert (root / "f").read_bytes() == after


@pytest.mark.parametrize(
    "case",
    [
        (
            "class A:\n    def f(self):\n        return 1\n",
            "def f(self):\n    return 1",
            "def f(self):\n    x = 1\n    return x",
            "class A:\n    def f(self):\n        x = 1\n        return x\n",
        ),
        (
            "def f():\n    return 1\n",
            "    def f():\n        return 1\n",
            "    def f():\n        return 2\n",
            "def f():\n    return 2\n",
        ),
        (
            "if a {\n\tb()\n\tif c {\n\t\td()\n\t}\n}\n",
            "    b()\n    if c {\n        d()\n",
            "    b()\n    if e {\n        d()\n",
            "if a {\n\tb()\n\tif e {\n\t\td()\n\t}\n}\n",
        ),
        ("  a  \n  b\n", "  a\n  b\n", "  c\n  d\n", "  c\n  d\n"),
        ("a\n\n    b\n    c", "b\nc\n", "b\n\nd\n", "a\n\n    b\n\n    d"),
    ],
)
async def test_another_indentation_is_found_and_kept(call: Call, root: Path, case: tuple[str, str, str, str]) -> None:
    before, search, replace, after = case
    (root / "f").write_text(before)
    outcome = await call("edit_file", edits(("f", search, replace)))
    assert (root / "f").read_text() == after
    assert "found with different indentation, which was kept" in outcome.text


async def test_the_user_sees_the_complete_diff_and_the_model_a_short_one(
    call: Call, tools: dict[str, Tool], root: Path
) -> None:
    (root / "f").write_text("".join(f"{number}\n" for number in range(2_000)))
    arguments = edits(("f", "0\n", "0!\n"), everywhere=True)
    title = tools["edit_file"].title(arguments)
    assert title.startswith("edit f\n--- f\n+++ f\n@@ -1,4 +1,4 @@\n-0\n+0!\n 1\n 2\n 3\n@@ -8,7 +8,7 @@\n 7\n")
    assert title.count("\n+") == 201
    text = (await call("edit_file", arguments)).text
    assert text.startswith("Edited f: 200 lines added, 200 removed, 200 places.\n--- f\n+++ f\n@@ -1,4")
    assert len(text) < 4_200
    assert text.endswith(" more lines of the diff]")


async def test_edits_of_one_file_under_several_names_are_applied_in_order(call: Call, root: Path) -> None:
    (root / "f").write_text("a\n")
    (root / "link").symlink_to("f")
    outcome = await call("edit_file", edits(("f", "a", "b"), ("link", "b", "c"), ("./f", "c", "d")))
    assert (root / "f").read_text() == "d\n"
    assert (root / "link").is_symlink()
    assert outcome.text == "Edited f: 1 line added, 1 removed, 3 places.\n--- f\n+++ f\n@@ -1 +1 @@\n-a\n+d"


async def test_no_match_shows_the_nearest_lines(refused: Refused, root: Path) -> None:
    (root / "f").write_text("def f(x):\n    y = x\n    return y\n\n\ndef g(x):\n    return x\n")
    said = await refused("edit_file", edits(("f", "def f(x):\n    z = x\n    return y", "q")))
    assert said == (
        "f: search text not found (3 lines). Closest match:\n    1\tdef f(x):\n    2\t    y = x\n"
        "    3\t    return y\nCopy it exactly, without the line numbers.\nNo file was changed."
    )
    assert "    7\t    return x\n" in await refused("edit_file", edits(("f", "retrun x", "q")))
    assert "Nothing in the file is similar" in await refused("edit_file", edits(("f", "@@@@ ####", "q")))
    assert "it contains line numbers" in await refused("edit_file", edits(("f", "    1\tdef f(x):", "q")))


async def test_several_matches_are_shown(refused: Refused, root: Path) -> None:
    (root / "f").write_text("a = 1\nb = 1\n" + "c = 1\n" * 10)
    said = await refused("edit_file", edits(("f", " = 1", " = 2")))
    assert said.startswith("f: search text found in 12 places:\n    1\ta = 1\n    2\tb = 1\n")
    assert "[and 4 more lines]\nAdd surrounding lines" in said


async def test_overlapping_matches_count_as_several(call: Call, refused: Refused, root: Path) -> None:
    (root / "f").write_text("ababa\n")
    assert "found in 2 places" in await refused("edit_file", edits(("f", "aba", "x")))
    await call("edit_file", edits(("f", "aba", "x"), everywhere=True))
    assert (root / "f").read_text() == "xba\n"
    (root / "many").write_text("a" * 20_000)
    said = await refused("edit_file", edits(("many", "a", "x"), everywhere=True))
    assert said.startswith("many: search text found in 10,000 places or more: use the shell (sed -i).")


@pytest.mark.parametrize("search", ["", " ", "\n\n", "\t \r\n"])
async def test_a_blank_search_is_rejected(refused: Refused, root: Path, search: str) -> None:
    (root / "f").write_text("a\n \n\n\n")
    assert "search is blank. Use text from the file" in await refused("edit_file", edits(("f", search, "x")))
    (root / "f").write_text("")
    assert "The file is empty: delete it" in await refused("edit_file", edits(("f", search, "x")))


async def test_edits_that_change_nothing_or_are_impossible_are_rejected(refused: Refused, root: Path) -> None:
    (root / "f").write_text("a\n")
    (root / "latin").write_bytes(b"caf\xe9\n")
    (root / "zip").write_bytes(b"PK\3\4\0\0")
    with (root / "huge").open("wb") as file:
        file.truncate(20_000_000)
    assert "changes nothing" in await refused("edit_file", edits(("f", "a", "a")))
    assert "no '→' (U+2192)" in await refused("edit_file", edits(("latin", "caf", "→")))
    assert "zip is not text but a ZIP archive" in await refused("edit_file", edits(("zip", "P", "Q")))
    assert "huge is larger than 10.0 MB" in await refused("edit_file", edits(("huge", "P", "Q")))


async def test_one_edit_that_does_not_match_prevents_all(refused: Refused, root: Path) -> None:
    (root / "a").write_text("a\n")
    (root / "b").write_text("b\n")
    said = await refused("edit_file", edits(("a", "a", "x"), ("b", "b", "y"), ("a", "a", "z")))
    assert said.startswith("a, edit 3 of 3: search text not found")
    assert said.endswith("No file was changed.")
    assert ((root / "a").read_text(), (root / "b").read_text()) == ("a\n", "b\n")
    assert names(root) == ["a", "b"]


async def test_a_file_that_changed_since_it_was_read_is_not_edited(call: Call, refused: Refused, root: Path) -> None:
    (root / "f").write_text("a\nb\n")
    await call("read_file", {"path": "f", "limit": 1})
    (root / "f").write_text("a\nc\n")
    assert "has changed since you read it" in await refused("edit_file", edits(("f", "a", "x")))
    (root / "f").write_text("a\nb\n")  # touched, but the same
    await call("edit_file", edits(("f", "a", "x")))
    await call("edit_file", edits(("f", "x", "y")))  # the tool's own edits do not count
    await call("create_file", {"path": "new", "content": "a\n"})
    await call("edit_file", edits(("new", "a", "b")))
    assert (root / "f").read_text() == "y\nb\n"


async def test_a_file_that_changed_since_the_user_saw_the_diff_is_not_edited(refused: Refused, root: Path) -> None:
    (root / "f").write_text("a\n")
    said = await refused("edit_file", edits(("f", "a", "x")), meanwhile=lambda: void((root / "f").write_text("a\nb\n")))
    assert "has changed since the edit was shown" in said
    assert (root / "f").read_text() == "a\nb\n"
    said = await refused("edit_file", edits(("f", "q", "x")), meanwhile=lambda: void((root / "f").write_text("q\n")))
    assert "has changed since the edit was shown" in said


async def test_the_title_of_an_edit_that_does_not_match_shows_nothing_of_the_file(
    tools: dict[str, Tool], root: Path
) -> None:
    (root / "key").write_text("the secret\n")
    title = tools["edit_file"].title(edits(("key", "the sekret", "x")))
    assert title == "edit key\nkey (does not match, nothing will be changed):\n- the sekret\n+ x"


async def test_a_masked_value_is_never_written_back(call: Call, refused: Refused, root: Path) -> None:
    (root / "f").write_text("key = abcdef\nport = 1\n")
    said = await refused("edit_file", edits(("f", "port = 1", "port = 1\nkey = [masked]")))
    assert said.startswith("[masked] stands for a secret")
    assert "it stands for a secret" in await refused("edit_file", edits(("f", "key = [masked]\nport = 1", "x")))
    assert "never written back" in await refused("create_file", {"path": "g", "content": "key = [masked]"})
    (root / "docs").write_text("a value is shown as [masked] here\n")
    await call("edit_file", edits(("docs", "shown as [masked]", "written [masked]")))
    assert (root / "docs").read_text() == "a value is written [masked] here\n"
    assert "never written" in await refused("edit_file", edits(("docs", "written [masked]", "[masked] [masked]")))


async def test_mode_links_and_attributes_are_preserved(call: Call, root: Path) -> None:
    file, twin, link = root / "f", root / "twin", root / "link"
    file.write_text("a\n")
    file.chmod(0o4751)
    link.symlink_to("f")
    os.setxattr(file, "user.note", b"kept")
    await call("edit_file", edits(("link", "a", "b")))
    assert stat.S_IMODE(file.stat().st_mode) == 0o4751
    assert (os.getxattr(file, "user.note"), link.is_symlink()) == (b"kept", True)
    twin.hardlink_to(file)
    await call("edit_file", edits(("f", "b", "cc")))
    assert (twin.read_text(), file.stat().st_nlink) == ("cc\n", 2)
    assert names(root) == ["f", "link", "twin"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of files")
async def test_the_owner_is_preserved(call: Call, root: Path) -> None:
    (root / "f").write_text("a\n")
    os.chown(root / "f", 1234, 5678)
    await call("edit_file", edits(("f", "a", "b")))
    facts = (root / "f").stat()
    assert (facts.st_uid, facts.st_gid, (root / "f").read_text()) == (1234, 5678, "b\n")


def test_the_effect_names_each_real_file_once(tools: dict[str, Tool], root: Path) -> None:
    (root / "link").symlink_to("f")
    effect = tools["edit_file"].effect(edits(("f", "a", "b"), ("link", "a", "b"), ("../x", "a", "b")))
    assert effect == ChangesFiles((root / "f", root.parent / "x"))


def void(_: object) -> None:
    """Discard a value."""
