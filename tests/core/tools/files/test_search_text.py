"""`search_text`: the same answers from ripgrep and from our own matcher, within bounds."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpilot.contract import ToolError, ToolOutcome, ToolUse
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files import SearchTextTool
from vmpilot.tools.files.engines import find_ripgrep

from .conftest import Call
from .test_find_files import PATHS, RULES, make_tree


@pytest.fixture(params=["matcher", "ripgrep"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Every test of `call` runs with both engines."""
    return {"PATH": "/nowhere" if request.param == "matcher" else request.getfixturevalue("ripgrep_folder")}


@pytest.fixture
def tree(root: Path) -> Path:
    make_tree(root, ["src/a.py", "src/b.ts", "build/c.py", "x.log", ".git/config", ".hidden"])
    (root / "src/a.py").write_text("import os\n\ndef f():\n    return os.name\n")
    (root / ".gitignore").write_text("*.log\n/build/\n")
    for name in ("build/c.py", "x.log", ".git/config", ".hidden", "src/b.ts"):
        (root / name).write_text("import os\n")
    (root / "crlf").write_bytes(b"one\r\ntwo os\r\n")
    (root / "binary").write_bytes(b"import os\n\0\n")
    (root / "latin").write_bytes(b"caf\xe9 os\n")
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to("src/a.py")
    return root


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            {"pattern": "^import"},
            [".hidden", "    1\timport os", "src/a.py", "    1\timport os", "src/b.ts", "    1\timport os"],
        ),
        ({"pattern": "import", "glob": "*.py"}, ["src/a.py", "    1\timport os"]),
        ({"pattern": "import", "glob": "{x,src/**}/*.ts"}, ["src/b.ts", "    1\timport os"]),
        ({"pattern": "IMPORT", "ignore_case": True, "path": "src/a.py"}, ["src/a.py", "    1\timport os"]),
        ({"pattern": r"\bos\.\w+$", "path": "src"}, ["src/a.py", "    4\t    return os.name"]),
        ({"pattern": "os$", "path": "crlf"}, ["crlf", "    2\ttwo os"]),
        ({"pattern": "caf"}, ["latin", "    1\tcaf\\xe9 os"]),
        ({"pattern": "import", "path": "build"}, ["build/c.py", "    1\timport os"]),
        ({"pattern": "a && b"}, []),
    ],
)
async def test_lines_that_match(call: Call, tree: Path, arguments: dict[str, Any], lines: list[str]) -> None:
    text = (await call("search_text", arguments)).text
    assert text.split("\n")[:-1] == lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pattern": "("}, "( is no regular expression: "),
        ({"pattern": "(?=a)"}, "(?= is not taken: no look-around"),
        ({"pattern": r"(a)\1"}, r"\1 is not taken"),
        ({"pattern": "a\nb"}, "line by line"),
        ({"pattern": "a", "path": "binary"}, "binary is no text: binary data"),
        ({"pattern": "a", "path": "fifo"}, "fifo is a FIFO"),
        ({"pattern": "a", "path": "nowhere"}, "There is no nowhere."),
        ({"pattern": "a", "glob": "[!]"}, "[!] is no pattern for names"),
    ],
)
async def test_what_cannot_be_searched_is_told(call: Call, tree: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=re.escape(said)):
        await call("search_text", arguments)


async def test_the_rules_of_a_repository_end_at_its_root(call: Call, root: Path) -> None:
    make_tree(root, ["outer/.git/config", "outer/a.log", "outer/inner/.git/config", "outer/inner/b.log", "c.log"])
    (root / ".gitignore").write_text("c.log\na.log\n")
    (root / "outer" / ".gitignore").write_text("*.log\n")
    (root / "outer" / ".ignore").write_text("!a.log\n")
    found = {
        path: (await call("search_text", {"pattern": "x", "path": path})).text.split("\n")[:-1:2]
        for path in ("outer/inner", "outer", ".")
    }
    assert found == {
        "outer/inner": ["outer/inner/b.log"],
        "outer": ["outer/a.log", "outer/inner/b.log"],
        ".": ["outer/a.log"],  # no repository itself, so that all `.gitignore` count everywhere
    }


async def test_many_matches_are_counted_and_cut(call: Call, root: Path) -> None:
    for name in ("a", "b"):
        (root / name).write_text("x\n" * 150)
    lines = (await call("search_text", {"pattern": "x"})).text.split("\n")
    assert lines[:2] == ["a", "    1\tx"]
    assert lines[-2:] == [
        "   50\tx",
        "[300 lines in 2 files, the first 200 shown: narrow the pattern, the path or the glob]",
    ]
    (root / "c").write_text("x\n" * 30_000)
    assert "[10,000 lines and more, the first 200 shown:" in (await call("search_text", {"pattern": "x"})).text


async def test_of_a_long_line_the_part_with_the_match_is_shown(call: Call, root: Path) -> None:
    (root / "long").write_text("ä" * 4_000_000 + "needle" + "ö" * 4_000_000 + "\n")
    _, line, summary = (await call("search_text", {"pattern": "n..dle"})).text.split("\n")
    assert re.fullmatch(r"    1\t…ä{50}needleö{244}…", line)
    assert summary == "[1 line in 1 file]"


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes somebody who may not read everything")
async def test_what_cannot_be_read_is_told(call: Call, root: Path, environment: dict[str, str]) -> None:
    program = Path(environment["PATH"]) / "rg" if environment["PATH"] != "/nowhere" else Path(sys.executable)
    make_tree(root, ["open", "closed", "sub/x"])
    (root / "closed").chmod(0)
    (root / "sub").chmod(0)
    os.seteuid(65_534)
    try:
        if not os.access(program, os.X_OK, effective_ids=True):
            pytest.skip("others may not run it here")
        text = (await call("search_text", {"pattern": "x"})).text
    finally:
        os.seteuid(0)
    assert text.startswith("open\n    1\tx\n[1 line in 1 file; not readable: ")
    assert {"closed", "sub"} == set(text.partition("not readable: ")[2].removesuffix("]").split(", "))


@pytest.mark.parametrize("environment", [{"PATH": "/nowhere"}], indirect=False)
async def test_an_expression_that_runs_wild_is_ended(root: Path, environment: dict[str, str]) -> None:
    (root / "f").write_text("a" * 40 + "\n")
    before, others = time.monotonic(), _children()
    outcome = await _search(root, environment, {"pattern": "(a+)+$b"}, seconds=0.5)
    assert "ended after 0.5 s, not all was searched" in outcome.text
    assert time.monotonic() - before < 1.5
    assert _children() == others


@pytest.mark.parametrize("environment", [{"PATH": "/nowhere"}], indirect=False)
async def test_cancelled_it_ends_at_once_with_all_that_it_started(root: Path, environment: dict[str, str]) -> None:
    (root / "f").write_text("a" * 40 + "\n")
    before, others = time.monotonic(), _children()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_search(root, environment, {"pattern": "(a+)+$b"}), 0.5)
    assert time.monotonic() - before < 1.5
    assert _children() == others


KINDS = st.sampled_from([".gitignore", ".ignore", ".rgignore"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=PATHS,
    rules=st.tuples(RULES, RULES),
    kinds=st.tuples(KINDS, KINDS),
    repositories=st.sets(st.sampled_from([".", "a", "a/b"])),
)
async def test_both_engines_search_the_same_files(
    ripgrep_folder: str,
    paths: list[str],
    rules: tuple[list[str], list[str]],
    kinds: tuple[str, str],
    repositories: set[str],
) -> None:
    with real_folder() as folder:
        make_tree(folder, [f"{repository}/.git/config" for repository in repositories])
        make_tree(folder, paths)
        for place, lines, kind in zip((folder, folder / "a"), rules, kinds, strict=True):
            if place.is_dir():
                (place / kind).write_text("\n".join(lines))
        for path in (".", "a") if (folder / "a").is_dir() else (".",):
            arguments = {"pattern": "x|a", "path": path}
            ours, theirs = [await _search(folder, {"PATH": path}, arguments) for path in ("/nowhere", ripgrep_folder)]
            assert ours == theirs


LINES = st.lists(st.text("ab xé\t(.", max_size=8), max_size=6)
PATTERNS = st.sampled_from(
    ["a", "^a", "b$", "a.b", r"\w+", r"\bx", "a|é", "[^a]+b", "x{2,}", r"\(", "(a|b)+x?$", r"\s\S", "É"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(LINES, min_size=1, max_size=3), pattern=PATTERNS, ignore_case=st.booleans())
async def test_both_engines_find_the_same_lines(
    ripgrep_folder: str, files: list[list[str]], pattern: str, ignore_case: bool
) -> None:
    with real_folder() as folder:
        for number, lines in enumerate(files):
            (folder / f"f{number}").write_text("\n".join(lines))
        arguments = {"pattern": pattern, "ignore_case": ignore_case}
        ours, theirs = [await _search(folder, {"PATH": path}, arguments) for path in ("/nowhere", ripgrep_folder)]
        assert ours == theirs
        expression = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
        expected = sum(1 for lines in files for line in "\n".join(lines).splitlines() if expression.search(line))
        counted = re.search(r"\[(\d+) lines? in", ours.text)
        assert int(counted[1] if counted else 0) == expected


def test_a_program_that_the_model_could_have_written_is_not_run(root: Path, tmp_path: Path) -> None:
    inside, outside = root / "bin", tmp_path / "bin"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "rg").write_text("#!/bin/sh\n")
        (folder / "rg").chmod(0o755)
    assert find_ripgrep({"PATH": f"{inside}:{outside}"}, apart_from=root) == str(outside / "rg")
    (outside / "rg").unlink()
    (outside / "rg").symlink_to(inside / "rg")
    assert find_ripgrep({"PATH": f"bin:{outside}"}, apart_from=root) is None


async def test_a_ripgrep_that_knows_not_our_options_gives_way_to_our_matcher(root: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "rg").write_text("#!/bin/sh\necho 'error: Found argument --no-require-git' >&2; exit 2\n")
    (tmp_path / "old" / "rg").chmod(0o755)
    (root / "f").write_text("x\n")
    outcome = await _search(root, {"PATH": str(tmp_path / "old")}, {"pattern": "x"})
    assert outcome.text == "f\n    1\tx\n[1 line in 1 file]"


@contextmanager
def real_folder() -> Iterator[Path]:
    """A new folder for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name).resolve()


async def _search(
    root: Path, environment: dict[str, str], arguments: dict[str, Any], *, seconds: float = 20
) -> ToolOutcome:
    tool = SearchTextTool(Workspace.at(root), environment, seconds=seconds)
    return await tool.run(arguments, ToolUse(lambda _: None))


def _children() -> list[str]:
    """Of this process, which may have some of other tests."""
    pid = os.getpid()
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
