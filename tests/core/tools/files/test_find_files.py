"""`find_files`: matching names, their order, and skipped folders."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpilot.machine.workspace import opened_folder
from vmpilot.tools.files._globs import compile_glob
from vmpilot.tools.files._threads import Watch
from vmpilot.tools.files._walk import Walk

from .conftest import Call, Refused

NAMES = st.sampled_from(["a", "b", "ab", "a.o", ".h", "é"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12)
RULES = st.lists(
    st.sampled_from(
        [
            "a",
            "/a",
            "a/",
            "*.o",
            "!*.o",
            "!a",
            "a/b",
            "/b/",
            "**/ab",
            "a/**",
            "a/**/b",
            "!a/b",
            "#a",
            "?",
            "[!a]",
            ".*",
            "\\!a",
        ]
    ),
    max_size=4,
)


def make_tree(folder: Path, paths: list[str]) -> None:
    """Creates the files, except where an earlier file or folder is in the way."""
    for path in paths:
        file = folder / path
        parents = [parent for parent in file.parents if parent.is_relative_to(folder)]
        if not file.exists() and not any(parent.is_file() for parent in parents):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("x\n")


def walk(folder: Path) -> list[tuple[str, str]]:
    with opened_folder(folder) as descriptor:
        return [(entry.path, entry.kind) for entry in Walk(descriptor, folder, Watch(20))]


async def found(call: Call, pattern: str, path: str = ".") -> list[str]:
    return (await call("find_files", {"pattern": pattern, "path": path})).text.split("\n")[:-1]


@pytest.fixture
def tree(root: Path) -> Path:
    make_tree(
        root, ["a.py", "src/b.py", "src/deep/c.py", "src/d.ts", ".github/w.yml", "build/o.py", "x.log", ".git/config"]
    )
    (root / ".gitignore").write_text("*.log\n/build/\n")
    return root


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.py", ["a.py", "src/b.py", "src/deep/c.py"]),
        ("src/*.py", ["src/b.py"]),
        ("src/**/*.py", ["src/b.py", "src/deep/c.py"]),
        ("**/c.py", ["src/deep/c.py"]),
        ("./src/**", ["src/b.py", "src/d.ts", "src/deep/c.py"]),
        ("*.{ts,yml}", [".github/w.yml", "src/d.ts"]),
        ("{src,nowhere}/?.py", ["src/b.py"]),
        ("[ac].py", ["a.py", "src/deep/c.py"]),
        ("deep/", ["src/deep/"]),
        ("*/", [".github/", "src/", "src/deep/"]),
        ("*.log", []),
    ],
)
async def test_matching_names_in_order(call: Call, tree: Path, pattern: str, names: list[str]) -> None:
    assert await found(call, pattern) == names


async def test_results_can_be_used_as_paths(call: Call, tree: Path) -> None:
    assert await found(call, "*.py", "src") == ["src/b.py", "src/deep/c.py"]
    assert await found(call, "*.py", str(tree.parent)) == [
        str(tree / name) for name in ("a.py", "src/b.py", "src/deep/c.py")
    ]
    assert await found(call, "*.py", "build") == ["build/o.py"]  # asked for by name


async def test_errors_say_what_is_wrong(call: Call, refused: Refused, tree: Path) -> None:
    assert (await call("find_files", {"pattern": "nothing"})).text == "[nothing found in .]"
    assert "not a folder" in await refused("find_files", {"pattern": "*", "path": "a.py"})
    assert (
        await refused("find_files", {"pattern": "*", "path": "nowhere"})
        == "nowhere does not exist. find_files finds files by name."
    )
    assert "too many alternatives" in await refused("find_files", {"pattern": "{a,b}" * 12})
    assert "Invalid glob [!]: a [ ] set" in await refused("find_files", {"pattern": "[!]"})


async def test_many_are_counted(call: Call, root: Path) -> None:
    for number in range(520):
        (root / f"{number:03}").touch()
    text = (await call("find_files", {"pattern": "*"})).text
    assert text.startswith("000\n001\n")
    assert text.endswith("499\n[520 found in ., the first 500 shown: narrow the pattern or path]")


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes a user who may not read everything")
async def test_unreadable_folders_are_listed(call: Call, root: Path) -> None:
    make_tree(root, ["open/a", "closed/b"])
    (root / "closed").chmod(0)
    os.seteuid(65_534)
    try:
        text = (await call("find_files", {"pattern": "*"})).text
    finally:
        os.seteuid(0)
    assert text == "open/a\n[1 found in .; not readable: closed]"


def test_a_walk_that_takes_too_long_ends_with_a_remark(tree: Path) -> None:
    with opened_folder(tree) as descriptor:
        walked = Walk(descriptor, tree, Watch(0))
        assert (list(walked), walked.ended_early) == ([], True)


@settings(deadline=None)
@given(paths=PATHS)
def test_a_walk_finds_every_file(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        make_tree(folder, paths)
        found = walk(folder)
        assert found == sorted(found, key=lambda entry: [os.fsencode(part) for part in entry[0].split("/")])
        expected = [
            (str(path.relative_to(folder)), "folder" if path.is_dir() else "file") for path in folder.rglob("*")
        ]
        assert sorted(found) == sorted(expected)


@settings(deadline=None)
@given(paths=PATHS, rules=st.tuples(RULES, RULES))
def test_ignore_files_are_read_as_git_does(paths: list[str], rules: tuple[list[str], list[str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        make_tree(folder, paths)
        for place, lines in zip((folder, folder / "a"), rules, strict=True):
            if place.is_dir():
                (place / ".gitignore").write_text("\n".join(lines))
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True, env={"PATH": os.environ["PATH"]})
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-per-directory=.gitignore"],
            cwd=folder, check=True, capture_output=True, env={"PATH": os.environ["PATH"]},
        ).stdout  # fmt: skip
        expected = sorted(os.fsdecode(path) for path in listed.split(b"\0")[:-1])
        assert sorted(path for path, kind in walk(folder) if kind == "file") == expected


@given(
    glob=st.text("ab*?/[]!", max_size=7),
    path=st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab"]), min_size=1, max_size=4),
)
def test_globs_match_a_naive_implementation(glob: str, path: list[str]) -> None:
    if "[" in glob or not glob.strip("/") or "//" in glob or glob[:1] == "/" or glob[-1:] == "/":
        return
    whole = "/".join(path)
    assert bool(compile_glob(glob).fullmatch(whole)) == _fits(glob if "/" in glob else f"**/{glob}", whole)


def _fits(glob: str, path: str) -> bool:
    """The naive oracle: tries every expansion of `**` to folders, each part as a regular expression."""
    parts, names = glob.split("/"), path.split("/")
    counts = [range(len(names) + 1) if part == "**" else [1] for part in parts]
    last = len(parts) - 1
    for choice in product(*counts):
        if sum(choice) != len(names) or (parts[last] == "**" and choice[last] == 0):
            continue
        position, fits = 0, True
        for part, count in zip(parts, choice, strict=True):
            said = "[^/]*" if part == "**" else re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            fits = fits and all(re.fullmatch(said, name) for name in names[position : position + count])
            position += count
        if fits:
            return True
    return False
