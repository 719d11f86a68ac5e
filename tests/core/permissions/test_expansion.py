"""Words that the shell expands: they are expanded as in bash, and the result is checked."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vmpilot.contract import RunsCommand
from vmpilot.permissions import PermissionPolicy, Rules
from vmpilot.permissions.expansion import TooMuch, expand_glob, expand_word
from vmpilot.permissions.lexer import lex_line
from vmpilot.permissions.read_only_commands import CHANGING_PROGRAMS, PROGRAMS
from vmpilot.permissions.shell_line import Word

from .bash_oracle import differences, snapshot
from .conftest import OUTSIDE_SECRET

_NAMES = [
    "a",
    "b",
    "ab",
    "a.txt",
    "b.txt",
    "-x",
    "--pre=x",
    ".h",
    ".hidden.txt",
    "[a]",
    "a b",
    "A",
    "é",
    "x-1",
    "{a}",
    "*",
]
_PIECES = [
    *[
        "a",
        "b",
        "ab",
        ".txt",
        ".",
        "..",
        "/",
        "//",
        "./",
        "sub",
        "sub/",
        "-",
        "x",
        "*",
        "**",
        "?",
        "[ab]",
        "[!a]",
        "[^b]",
    ],
    *["[a-z]", "[.]", "{a,b}", "{,x}", "{sub/a,.h}", "''", "'*'", "'a b'", '"?"', "'['", "$HOME", '"$HOME"', "${HOME}"],
    *["~", "~/", "'~'", '"$HOME/"', "-*", "--", "=", ":", "%"],
]


_VAGUE = re.compile(r"\[|\.[^/]*[*?]")
"""These match more than in bash of one version and locale: `[a-z]`, and `.*`, which may match `..`."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("expansion") / "so" / "deep" / "that" / "dots" / "stay"
    for place in (root, root / "sub", root / "home"):
        place.mkdir(parents=True)
        for name in _NAMES:
            (place / name).touch()
    (root / "link").symlink_to("sub")
    (root / "broken").symlink_to("nothing")
    return root


def _expanded_by_bash(word: str, folder: Path) -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", f"printf '%s\\0' x {word}"],
        cwd=folder,
        env={"HOME": str(folder / "home"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split("\0")[1:-1]


def _words(word: str, folder: Path) -> list[Word]:
    """The word with braces and the home folder expanded; empty if it is not plain."""
    line = lex_line(f"printf {word}")
    if line is None or len(line) != 1 or len(line[0].words) != 2:
        return []
    return expand_word(line[0].words[1], str(folder / "home"))


def _expanded_by_gate(word: Word, folder: Path) -> list[str]:
    names = expand_glob(word, str(folder), lambda _: None) if word.is_glob else []
    return names or [word.text]


@settings(deadline=None)
@example(["*"])
@example(["..", "/*"])
@example([".*"])
@example(["sub/", ".*"])
@example(["link", "/", "*"])
@example(["~", "''"])
@example(["''", "~"])
@example(["{a,b}", "*"])
@example(["*", "/"])
@example(["*", "//", "*"])
@example(['"$HOME"', "/*"])
@example(["$HOME", "{sub/a,.h}"])
@example(["{,x}", "''"])
@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=5))
def test_words_are_expanded_as_bash_expands_them(folder: Path, pieces: list[str]) -> None:
    word = "".join(pieces)
    try:
        words = _words(word, folder)
    except TooMuch:
        return
    if not words or any(one.text.startswith("/") and not one.text.startswith(str(folder)) for one in words):
        return  # not read, or a look at the whole machine
    done = [re.sub("//+", "/", path) for path in _expanded_by_bash(word, folder)]
    found = [re.sub("//+", "/", path) for one in words for path in _expanded_by_gate(one, folder)]
    if _VAGUE.search(word):
        assert set(done) <= {*found, *(re.sub("//+", "/", one.text) for one in words)}, word
    else:
        assert sorted(done) == sorted(found), word


EVERYDAY = [
    "wc -l *.txt",
    "ls *",
    "du -sh *",
    "du -sh -- *",
    "cat *.md",
    "sort *.txt",
    "head -n 3 *",
    "grep -n x *",
    "find *",
]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A workspace in which nothing is hidden, secret, or named like an option."""
    for name in ("a.txt", "b.txt", "README.md", "src/main.py", "x.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _decide(line: str, root: Path, *, home: str = "", search_path: str = "") -> tuple[str, str]:
    policy = PermissionPolicy("operate", workspace=root, confines=lambda: True, home=home, search_path=search_path)
    decision = policy.decide("shell", RunsCommand(line, root))
    return decision.action, decision.confinement


@pytest.mark.parametrize("line", [line for line in EVERYDAY if " -- " not in line])
def test_wildcards_that_match_plain_names_are_allowed(line: str, plain: Path) -> None:
    assert _decide(line, plain) == ("allow", "read")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        *(("sort *", name) for name in ("-o", "--output=y.txt", "--compress-program=sh", "--files0-from=x", "-T")),
        *(("find *", name) for name in ("-delete", "-exec", "-fprint", "-okdir", "-L", "-files0-from")),
        *(("rg x *", name) for name in ("--pre=x", "--follow", "-z", "--hostname-bin=x", "-uuu", "-.")),
        *(("wc -l ?*", name) for name in ("--files0-from=x", "--help")),
        *(("tree *", name) for name in ("-o", "-l", "--fromfile")),
        *(("diff a.txt *", name) for name in ("--to-file=x", "--from-file=x")),
        *(("[ * ]", name) for name in ("-v", "-R", "-a")),
        *(("date *", name) for name in ("-s", "-f", "--set=x")),
        *(("file *", name) for name in ("-C", "-m", "-f")),
        *(("uniq *", name) for name in ("b.txt", "--help")),
    ],
)
def test_a_file_named_like_a_harmful_option_needs_approval(line: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    if not line.startswith(("diff", "date")):  # `date a.txt` would set the time
        assert _decide(line, tmp_path)[0] == "allow"
    (tmp_path / name).touch()
    assert _decide(line, tmp_path)[0] == "ask"
    if line not in {"[ * ]", "date *", "uniq *"}:
        assert _decide(line.replace("?*", "*").replace("*", "./*"), tmp_path)[0] == "allow"


@pytest.mark.parametrize("line", ["sort *.txt", "rg x *", "tree *", "find *", "git diff *", "sed -n p *.txt"])
@pytest.mark.parametrize("change", ["touch x", "cp a.txt ./-o", "echo x > --output=y", "mkdir y"])
def test_a_wildcard_that_might_become_an_option_needs_approval_in_a_writable_workspace(
    line: str, change: str, plain: Path
) -> None:
    """A file with such a name may be created after the decision, or by the line itself."""
    for separator in ("&&", ";"):
        assert _decide(f"{change} {separator} {line}", plain)[0] == "ask"
        assert _decide(f"{line} {separator} {change}", plain)[0] == "ask"
    assert _decide(f"{line} > out.txt", plain)[0] == "ask"


def test_a_wildcard_that_might_become_an_option_does_not_run_on_the_host(plain: Path) -> None:
    policy = PermissionPolicy(
        "operate", workspace=plain, confines=lambda: True, rules=Rules.read(allow_on_host=["shell: make check"])
    )
    for line in ("make check && sort *.txt", "make check; git status", "make check; uniq src/*"):
        decision = policy.decide("shell", RunsCommand(line, plain))
        assert decision.action == "ask", line


@pytest.mark.parametrize("name", [".env", "src/.git/config"])
def test_a_link_among_the_names_is_followed(name: str, plain: Path) -> None:
    (plain / "z.txt").symlink_to(name)
    for line in ("wc -l *.txt", "cat ?.txt", "cat [a-z].txt", "cat {z,y}.txt", "grep -r x *", "cat */../z.t?t"):
        assert _decide(line, plain)[0] == "ask", line
    assert _decide("cat [ab].txt a.txt", plain)[0] == "ask"  # a bracket expression stands for any character
    assert _decide("cat b*.txt", plain)[0] == "allow"


@pytest.mark.parametrize("home", ["", "relative", "/with space", "/with*star", "/a:b", "/$x", "/é"])
def test_a_home_with_special_characters_needs_approval(home: str, plain: Path) -> None:
    for line in ("ls ~", "ls $HOME", 'ls "$HOME/x"', "ls ~/*.txt", "[ -d ~ ]"):
        assert _decide(line, plain, home=home)[0] == "ask", line
    assert _decide("ls '~' '$HOME'", plain, home=home)[0] == "allow"


def test_secrets_in_the_home_folder_need_approval(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = str(tmp_path_factory.mktemp("ada"))
    assert _decide("ls ~ && du -sh ~/src", plain, home=home) == ("allow", "read")
    for line in (
        "cat ~/.netrc",
        "cat $HOME/.ssh/id_rsa",
        "touch ~/x",
        "grep -r x ~",
        "cd ~ && grep -r x .",
        "cd ~ && touch x",
    ):
        assert _decide(line, plain, home=home)[0] == "ask", line
    assert _decide("cd ~ && ls", plain, home=home) == ("allow", "read")


def test_expansions_have_limits(plain: Path) -> None:
    line = lex_line("ls " + "{a,b}" * 7)
    assert line is not None
    with pytest.raises(TooMuch):
        expand_word(line[0].words[1], "/root")
    for number in range(40):
        (plain / f"d{number}").mkdir()
        for inner in range(40):
            os.mknod(plain / f"d{number}" / f"{inner}")
    assert _decide("cat */*", plain)[0] == "allow"
    assert _decide("cat */../*/../*/*", plain)[0] == "ask"
    assert lex_line("ls *****") is None


def test_patterns_are_fast(tmp_path: Path) -> None:
    """Stars and long names, which take exponential time in a naive matcher."""
    (tmp_path / ("a" * 250)).touch()
    chance = random.Random(1)
    for _ in range(50):
        pattern = "".join(chance.choice("a*?") for _ in range(60)).replace("**", "*")
        if pattern.count("*") <= 4:
            assert _decide(f"ls {pattern}b", tmp_path)[0] == "allow"


_OPTION_NAMES = [
    *[
        "-o",
        "-delete",
        "-exec",
        "-fprint",
        "-v",
        "-i",
        "-e",
        "-s",
        "-C",
        "-f",
        "--pre=evil",
        "--output=made",
        "-oout",
        "-w",
        "--",
    ],
    *[
        "--files0-from=list",
        "--compress-program=evil",
        "-S1",
        "-z",
        "-L",
        "--set=2000-01-01",
        "--in-place",
        "w made",
        "e touch made",
    ],
    *["-n", "-r", "-k", "-m", "-t", "+", "!", "(", "a[$(touch made)]", "--reference=x", "--to-file=x", "--help", "-R"],
]
_PLAIN_NAMES = ["a", "b.txt", "c.txt", "list", "x=y", "d e", ";", "1", "2", "made of"]
_PATTERNS = [
    "*",
    "?",
    "-*",
    "*.txt",
    "[a-z]*",
    "[-a]*",
    "??",
    "./*",
    "sub/*",
    "sub/../*",
    "{a,b.txt}",
    "{-o,made}",
    "*o*",
    "-[a-z]",
]
_QUICK = sorted(
    {*PROGRAMS, *CHANGING_PROGRAMS} - {"apt-cache", "dpkg", "sleep", "seq", "vmstat", "docker", "node", "pip", "cmake"}
)


def _hostile_folder(place: Path, chance: random.Random) -> Path:
    root = place / "work"
    for folder in (root, root / "sub", place / "secret"):
        folder.mkdir(parents=True)
    for name in [*chance.sample(_OPTION_NAMES, 3), *_PLAIN_NAMES]:
        (root / name).write_text("one\ntwo\n")
        (root / "sub" / name.strip("-")).touch()
    (root / "evil").write_text("#!/bin/sh\ntouch made\n")
    (root / "evil").chmod(0o755)
    (place / "secret" / "id_rsa").write_text(OUTSIDE_SECRET)
    if chance.random() < 0.3:
        (root / "l.txt").symlink_to(place / "secret" / "id_rsa")
        (root / "sub" / "l").symlink_to(place / "secret")
    return root


def test_expanded_lines_do_no_harm_even_unconfined(tmp_path: Path, fuzz_count: int) -> None:
    """Any program, options and patterns, with files named like options: lines that are let through are run for real."""
    chance, run = random.Random(20_261_201), 0
    for number in range(fuzz_count // 50):
        root = _hostile_folder(tmp_path / str(number), chance)
        before = snapshot(root)
        for _ in range(20):
            name = chance.choice(_QUICK)
            table = PROGRAMS.get(name) or CHANGING_PROGRAMS[name]
            options = [f"-{letter}" for letter in re.findall("[A-Za-z]", table.short)]
            words = [name, *chance.sample(options, min(len(options), chance.randrange(3)))]
            words += chance.choices([*_PATTERNS, "a", "1", "p", "."], k=chance.randrange(1, 4))
            line = " ".join(words)
            if _decide(line, root) != ("allow", "read"):
                continue
            run += 1
            done = subprocess.run(
                ["bash", "--norc", "-c", line],
                cwd=root,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
            )
            assert differences(before, snapshot(root)) == set(), line
            assert OUTSIDE_SECRET.encode() not in done.stdout + done.stderr, line
    assert run > fuzz_count / 50


@pytest.mark.parametrize(
    "line", ["cd && touch x", "cd - && cat a.txt", "cd $(pwd) && ls", "cd ../*/ ; touch x", "pushd .. ; touch x"]
)
def test_a_rule_for_an_unknown_cd_does_not_cover_later_commands(line: str, plain: Path) -> None:
    rules = Rules.read(allow=["shell: cd", "shell: pushd"])
    policy = PermissionPolicy("operate", workspace=plain, confines=lambda: True, rules=rules)
    assert policy.decide("shell", RunsCommand(line, plain)).action == "ask"
