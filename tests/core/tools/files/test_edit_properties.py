"""Properties of every edit: a failed one changes nothing, a reverted one restores the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vmpilot.contract import ToolError, ToolUse
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files import EditFileTool, FileMemory
from vmpilot.tools.files._document import Document, Span, unified_diff
from vmpilot.tools.files._globs import compile_glob
from vmpilot.tools.files._matching import find_places
from vmpilot.tools.files._text import NotText, find_encoding, split_lines

from .conftest import names

USE = ToolUse(lambda _: None)
IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text("ab \t{}é\n", max_size=12)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])


@IN_ONE_FOLDER
@given(text=WORDS, files=st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1, max_size=4))
async def test_an_edit_that_fails_changes_nothing(
    workspace: Workspace, root: Path, text: str, files: list[tuple[str, str, bool]]
) -> None:
    present = [f"f{number}" for number in range(len(files))]
    for name in present:
        (root / name).write_text(text)
    edits = [
        {"path": name, "search": search, "replace": replace, "all": everywhere}
        for name, (search, replace, everywhere) in zip(present, files, strict=True)
    ]
    try:
        await EditFileTool(workspace, FileMemory()).run({"edits": edits}, USE)
    except ToolError:
        assert {(root / name).read_text() for name in present} == {text}
    else:
        for name, (search, replace, everywhere) in zip(present, files, strict=True):
            if search in text:
                assert (root / name).read_text() == text.replace(search, replace, -1 if everywhere else 1)
    assert not [name for name in names(root) if name.startswith(".")]


@IN_ONE_FOLDER
@given(words=st.tuples(WORDS, WORDS, WORDS, WORDS), encoding=ENCODINGS, end=st.sampled_from(["\n", "\r\n"]))
async def test_a_reverted_edit_restores_the_bytes(
    workspace: Workspace, root: Path, words: tuple[str, str, str, str], encoding: str, end: str
) -> None:
    before, old, new, after = words
    text = before + old + after
    changed = before + new + after
    assume(old.strip() and new.strip() and old != new and _occurs_once(old, text) and _occurs_once(new, changed))
    assume(encoding != "latin-1" or "é" in before + after)  # without it the file is plain ASCII in between
    assume(end == "\n" or (text.count("\n") and changed.count("\n")) or "\n" not in text + changed)
    data = text.replace("\n", end).encode(encoding)
    (root / "f").write_bytes(data)
    tool = EditFileTool(workspace, FileMemory())
    await tool.run({"edits": [{"path": "f", "search": old, "replace": new}]}, USE)
    assert (root / "f").read_bytes() == changed.replace("\n", end).encode(encoding)
    await tool.run({"edits": [{"path": "f", "search": new, "replace": old}]}, USE)
    assert (root / "f").read_bytes() == data


def _occurs_once(part: str, text: str) -> bool:
    return sum(text.startswith(part, start) for start in range(len(text))) == 1


@given(
    lines=st.lists(st.tuples(st.text("ab", max_size=3), st.sampled_from(["\n", "\r\n"])), max_size=8), data=st.data()
)
def test_unchanged_lines_keep_their_endings(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    document = Document("".join(map("".join, lines)))
    plain = document.plain
    start = data.draw(st.integers(0, len(plain)))
    end = data.draw(st.integers(start, len(plain)))
    text = data.draw(st.text("ab\n", max_size=6))
    document.replace([Span(start, end, text)])
    assert document.plain == plain[:start] + text + plain[end:]
    for index, origin in enumerate(document.origins):
        assert origin < 0 or document.lines[index] == document.before[origin]
    assert [origin for origin in document.origins if origin >= 0] == sorted({o for o in document.origins if o >= 0})
    untouched = plain[:start].count("\n")
    assert document.lines[:untouched] == list(document.before[:untouched])


@given(
    text=st.text("ab\n", max_size=40),
    edits=st.lists(st.tuples(st.text("ab\n", min_size=1, max_size=4), WORDS), max_size=4),
)
def test_the_diff_turns_the_old_text_into_the_new(text: str, edits: list[tuple[str, str]]) -> None:
    document = Document(text)
    for search, replace in edits:
        document.replace(find_places(document, search, replace).spans if search.strip() else ())
    assert _patch(document.before, unified_diff(document, "f")) == [line.removesuffix("\n") for line in document.lines]


def _patch(before: Sequence[str], diff: str) -> list[str]:
    """Applies a unified diff by its line numbers, checking every line that it names."""
    old = [line.removesuffix("\n") for line in before]
    done, position = list[str](), 0
    for line in diff.split("\n")[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1].removeprefix("-").partition(",")
            begin = int(start) - (count != "0")
            done += old[position:begin]
            position = begin
        elif line.startswith("+"):
            done.append(line[1:])
        elif line.startswith((" ", "-")):
            assert old[position] == line[1:]
            done += [line[1:]] if line.startswith(" ") else []
            position += 1
    return done + old[position:]


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8-sig")))
def test_an_encoding_round_trips_the_bytes(data: bytes) -> None:
    try:
        encoding = find_encoding(data)
    except NotText:
        return
    assert encoding.encode(encoding.decode(data)) == data


@given(st.text("a\r\n\u2028\x0c"))
def test_split_lines_join_to_the_text(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.endswith("\n") for line in lines[:-1])


@given(
    lines=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", "z()"])), min_size=1, max_size=5),
    shift=st.integers(0, 3),
    unit=st.sampled_from(["  ", "\t"]),
)
def test_shifted_text_is_found_and_replaced_with_its_shift(lines: list[tuple[int, str]], shift: int, unit: str) -> None:
    present = "".join(f"{unit * (depth + shift)}{word}\n" for depth, word in lines)
    search = "".join(f"{unit * depth}{word}\n" for depth, word in lines)
    document = Document(f"begin\n{present}end\n")
    found = find_places(document, search, search.replace("x", "q"))
    assert found.loose == (search not in document.plain)
    document.replace(found.spans)
    assert document.text == f"begin\n{present.replace('x', 'q')}end\n"


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "**/a/" * 12 + "b", "*[ab]*" * 20 + "c"])
def test_no_glob_takes_exponential_time(pattern: str) -> None:
    assert compile_glob(pattern).fullmatch("a/" * 60 + "a" * 200) is None
