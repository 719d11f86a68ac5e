"""`read_file`: text as the model sees it, and errors for everything else."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpilot.contract import ReadsFiles, Tool, ToolUse

from .conftest import Call, Refused


@pytest.mark.parametrize(
    ("data", "arguments", "text"),
    [
        (b"a\nb\n", {}, "    1\ta\n    2\tb\n[lines 1 to 2 of 2]"),
        (b"a", {}, "    1\ta\n[line 1 of 1; no newline at end of file]"),
        (b"", {}, "[the file is empty]"),
        (b"a\nb\nc\n", {"offset": 2}, "    2\tb\n    3\tc\n[lines 2 to 3 of 3]"),
        (b"a\nb\nc\n", {"limit": 1}, "    1\ta\n[line 1 of 3; continue with offset 2]"),
        (b"a\r\nb\r\n", {}, "    1\ta\n    2\tb\n[lines 1 to 2 of 2; CRLF line endings]"),
        (b"a\r\nb\n", {}, "    1\ta\n    2\tb\n[lines 1 to 2 of 2; mixed line endings (1 CRLF, 1 LF)]"),
        (b"\xef\xbb\xbfa\n", {}, "    1\ta\n[line 1 of 1; UTF-8 with byte order mark]"),
        ("ä\n".encode("utf-16"), {}, "    1\tä\n[line 1 of 1; UTF-16 (little endian) with byte order mark]"),
        ("café\n".encode("latin-1"), {}, "    1\tcafé\n[line 1 of 1; not UTF-8, so read as Latin-1]"),
        (
            "äöü €".encode() + b"\xff\n",
            {},
            "    1\täöü €\\xff\n[line 1 of 1; UTF-8 with invalid bytes, shown as \\xNN]",
        ),
        (b"a\x1b[31mb\x0cc\n", {}, "    1\ta\\x1b[31mb\\x0cc\n[line 1 of 1]"),
        (b"a\xe2\x80\xa8b\x0b\n", {}, "    1\ta\u2028b\\x0b\n[line 1 of 1]"),
    ],
)
async def test_text_is_shown_with_line_numbers(
    call: Call, root: Path, data: bytes, arguments: dict[str, Any], text: str
) -> None:
    (root / "f").write_bytes(data)
    assert (await call("read_file", {"path": "f", **arguments})).text == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4), "a PNG image, 640 x 480, 24 bytes"),
        (b"GIF89a" + b"\x02\x01\x04\x03" + b"\0" * 10, "a GIF image, 258 x 772, 20 bytes"),
        (b"\xff\xd8\xff\xe0\0" + b"x" * 2000, "a JPEG image, 2.0 kB"),
        (b"\x7fELF\2\1\1\0", "an ELF program or library"),
        (b"%PDF-1.7 text", "a PDF document"),
        (b"text\0more", "binary data, 9 bytes"),
        (bytes(range(1, 32)) * 10, "binary data"),
    ],
)
async def test_files_other_than_text_are_identified(refused: Refused, root: Path, data: bytes, said: str) -> None:
    (root / "f").write_bytes(data)
    assert f"f is not text: {said}" in await refused("read_file", {"path": "f"})


async def test_special_files_and_folders_are_rejected_without_waiting(refused: Refused, root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "sub").mkdir()
    (root / "sub" / "a.txt").touch()
    (root / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        said = {
            name: await refused("read_file", {"path": name})
            for name in ("fifo", "socket", "sub", "loop", "/dev/zero", "/")
        }
    assert said["fifo"].startswith("fifo is a FIFO (named pipe), and only regular files")
    assert said["socket"].startswith("socket is a socket,")
    assert said["/dev/zero"].startswith("/dev/zero is a device,")
    assert said["sub"] == "sub is a folder with a.txt. Name a file in it, or use find_files."
    assert said["/"].startswith("/ is a folder with ")
    assert "link" in said["loop"]


async def test_an_error_for_a_missing_file_suggests_similar_names(refused: Refused, root: Path) -> None:
    (root / "settings.toml").touch()
    assert (
        await refused("read_file", {"path": "setings.toml"})
        == "setings.toml does not exist. Similar names: settings.toml."
    )
    assert (await refused("read_file", {"path": "settings.toml/x"})).startswith("settings.toml/x: it or a part of its")
    assert (await refused("read_file", {"path": "x" * 300})).endswith(": its name is too long.")


async def test_an_error_past_the_end_states_the_length(refused: Refused, root: Path) -> None:
    (root / "f").write_text("a\n")
    assert await refused("read_file", {"path": "f", "offset": 5}) == "f has 1 line: line 5 does not exist."
    (root / "empty").touch()
    assert await refused("read_file", {"path": "empty", "offset": 2}) == "empty has 0 lines: line 2 does not exist."


async def test_long_lines_and_many_lines_are_cut_and_counted(call: Call, root: Path) -> None:
    (root / "long").write_text("x" * 5_000 + "\n" + "y\n" * 3_000)
    first, *_, last = (await call("read_file", {"path": "long"})).text.split("\n")
    assert first == f"    1\t{'x' * 2_000} [… 3,000 more characters]"
    assert last == "[lines 1 to 2000 of 3,001; continue with offset 2001]"
    (root / "wide").write_text(("z" * 1_000 + "\n") * 100)
    text = (await call("read_file", {"path": "wide"})).text
    assert len(text) < 41_000
    assert text.endswith("[lines 1 to 39 of 100; continue with offset 40]")


async def test_a_large_file_is_read_in_parts(call: Call, refused: Refused, root: Path) -> None:
    with (root / "large").open("wb") as file:
        file.writelines(b"line %d\n" % number for number in range(1, 900_001))
        file.write(b"w" * 2_000_000)
    arguments = {"path": "large", "offset": 700_000, "limit": 2}
    assert (await call("read_file", arguments)).text == (
        "700000\tline 700000\n700001\tline 700001\n"
        "[lines 700000 to 700001 of a file of 12.7 MB; continue with offset 700002]"
    )
    last = (await call("read_file", {"path": "large", "offset": 900_001})).text
    assert last == f"900001\t{'w' * 2_000} [… 1,998,000 more characters]\n[line 900001 of 900,001]"
    assert await refused("read_file", {"path": "large", "offset": 900_002}) == (
        "large has 900,001 lines: line 900,002 does not exist."
    )


async def test_files_of_proc_that_report_no_size_are_read(call: Call) -> None:
    assert "Name:\t" in (await call("read_file", {"path": "/proc/self/status"})).text


async def test_a_name_that_is_not_utf_8_can_be_used_as_shown(call: Call, root: Path, tools: dict[str, Tool]) -> None:
    (root / os.fsdecode(b"caf\xe9\n.txt")).write_text("x\n")
    shown = (await call("find_files", {"pattern": "caf*"})).text.split("\n")[0]
    assert shown == r"caf\xe9\x0a.txt"
    assert tools["read_file"].title({"path": shown}) == rf"read {shown}"
    assert (await call("read_file", {"path": shown})).text == "    1\tx\n[line 1 of 1]"
    (root / r"a\xff").write_text("backslash\n")
    (root / os.fsdecode(b"a\xff")).write_text("byte\n")
    assert "backslash" in (await call("read_file", {"path": r"a\xff"})).text


async def test_paths_are_relative_to_the_home_or_the_working_folder(
    tools: dict[str, Tool], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(root))
    for path in ("~/f", "f", str(root / "f"), "sub/../f"):
        assert tools["read_file"].effect({"path": path}) == ReadsFiles((root / "f",))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), max_size=30), data=st.data())
async def test_each_line_has_its_number(
    tools: dict[str, Tool], root: Path, lines: list[str], data: st.DataObject
) -> None:
    (root / "f").write_text("".join(f"{line}\n" for line in ["first", *lines]))
    offset = data.draw(st.integers(1, len(lines) + 1))
    limit = data.draw(st.integers(1, 40))
    outcome = await tools["read_file"].run({"path": "f", "offset": offset, "limit": limit}, ToolUse(lambda _: None))
    wanted = list(enumerate(["first", *lines], 1))[offset - 1 : offset - 1 + limit]
    assert outcome.text.split("\n")[:-1] == [f"{number:>5}\t{line}" for number, line in wanted]
