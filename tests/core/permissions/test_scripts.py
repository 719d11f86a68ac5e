"""Read-only scripts, checked with the programs that run them; and the option tables, checked with help texts.

`--fuzz 20000` tries more of them.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from vmpilot.permissions.command_spec import Program
from vmpilot.permissions.read_only_commands import CHANGING_PROGRAMS, PROGRAMS
from vmpilot.permissions.script_patterns import AWK, JQ, PRINTF, SED

SEED = 20_261_130

_SED_STARTS = [
    *["s/a/b/", "1,2p", "/a/d", "s|[a]|b|", "$p", "s/[/]/", "/[/]/", "s,\\,,e,", "s#[a-z]#b#g;p", "/[0-9]/,/x/p"],
    # a bracket expression that holds the delimiter, which versions of sed divide differently
    *["s/[]/]$/;s/e;#/Y/;p", "s/[^]/]$/;s/e;#/Y/;p", "/[]/p;s/]/e;#/", "s/[[:alpha:]/]$/;s/e;#/Y/;p"],
    *["s/[[.a.]/]$/;s/e;#/Y/;p", "s/[[=a=]/]$/;s/e;#/Y/;p", "s/[[:alpha:]]*/x/", "s@[^@]@b@;s@e;#@Y@"],
]
_SED_PIECES = [
    *"s/|,#@ab\\[]^$12~+!; pdewWrRgIimMFQ{}&.*:=-",
    *["[]", "[^]", "[^", "[[:alpha:]", "[[:", "[.a.]", "[=a=]", ":]", "\\c", "\\n", "\\/", "\\,", "\\]", "\\[", "s;"],
    *["1e", "w x", "e id", "/]/", "[/]", "[]/]", "[^]/]", "]$/", "s/e;#/Y/", "[a-z]", "[^0-9]*", "[[:space:]]*"],
]


def _bent(chance: random.Random, starts: Sequence[str], pieces: Sequence[str]) -> str:
    script = chance.choice(starts)
    for _ in range(chance.randrange(6)):
        place = chance.randrange(len(script) + 1)
        match chance.randrange(4):
            case 0 | 1:
                script = script[:place] + chance.choice(pieces) + script[place:]
            case 2:
                script = script[:place] + script[place + 1 :]
            case _:
                script += chance.choice([";", "", " "]) + chance.choice(starts)
    return script


def _accepted(pattern: re.Pattern[str], starts: Sequence[str], pieces: Sequence[str], count: int) -> Iterator[str]:
    """Different read-only scripts, including some that resemble harmful ones."""
    chance, seen = random.Random(SEED), set[str]()
    while len(seen) < count:
        script = _bent(chance, starts, pieces)
        if script not in seen and pattern.fullmatch(script):
            seen.add(script)
            yield script


def test_no_script_of_sed_is_let_through_that_does_more_than_print(fuzz_count: int) -> None:
    """Whether GNU sed, in its sandbox mode, reports that the script runs a command, or reads or writes a file."""
    for script in _accepted(SED, _SED_STARTS, _SED_PIECES, fuzz_count // 4):
        for options in ([], ["-E"]):
            done = subprocess.run(["sed", "--sandbox", *options, script], input=b"", capture_output=True, check=False)
            assert b"sandbox" not in done.stderr, script


@pytest.mark.parametrize("script", ["1e id", "s/a/b/e", "w x", "s/[]/]$/;s/e;#/Y/;p", "/[]/p;s/]/e;#/"])
def test_sed_reports_scripts_that_do_more(script: str) -> None:
    """This shows that the test above can fail."""
    done = subprocess.run(["sed", "--sandbox", script], input=b"", capture_output=True, check=False)
    assert b"e/r/w commands disabled in sandbox mode" in done.stderr
    assert not SED.fullmatch(script)


_AWK_STARTS = [
    *["{print $1, $3}", "$3 > 1000 {print $1}", "/a/", "NR==1", "/a/ && $1 != 2 {print}", "{s += $1} END {print s}"],
    *['{print "a" $1}', "$1 ~ /x/ {print NF}", "{print $NF, $(NF-1)}", "NR % 2 == 0", '$1 == "x"'],
]
_AWK_PIECES = [
    *"{}$/\\\"'|><;,!~=()[] #123&+a",
    *[
        '> "made"',
        '| "touch made"',
        'system("touch made")',
        '"touch made" | getline',
        ">>",
        '">made"',
        "NF",
        "END",
        "print",
    ],
    *["/a", "\\/", '\\"', "[/]", "getline", '-e "', "@load", "printf", "close(", '; print "x" > "made"', '/ > "made"'],
]
_AWK_INPUT = b"one two three\n4 5 6\n/a touch made\n"


def test_no_script_of_awk_is_let_through_that_does_more_than_print(fuzz_count: int, tmp_path: Path) -> None:
    programs = [name for name in ("gawk", "mawk", "original-awk", "awk") if shutil.which(name)]
    for script in _accepted(AWK, _AWK_STARTS, _AWK_PIECES, fuzz_count // 4):
        for program in programs:
            subprocess.run([program, script], input=_AWK_INPUT, capture_output=True, cwd=tmp_path, check=False)
        assert list(tmp_path.iterdir()) == [], script


@pytest.mark.parametrize("script", ['{print > "made"}', '{print | "touch made"}', 'BEGIN{system("touch made")}'])
@pytest.mark.skipif(shutil.which("awk") is None, reason="no awk on the PATH: apt-get install mawk")
def test_awk_makes_files_by_scripts_that_do_more(script: str, tmp_path: Path) -> None:
    subprocess.run(["awk", script], input=_AWK_INPUT, capture_output=True, cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert not AWK.fullmatch(script)


_JQ_STARTS = [".", ".a.b", ".[] | .x", "map(.a)", '"\\(.a)"', "[.[] | {a: .b}]", "$x", "keys"]
_JQ_PIECES = [
    *'.|$()[]{}":,#\n ae',
    "env",
    "ENV",
    "$ENV",
    "$ ENV",
    "\\(",
    "$__prog_args",
    "input",
    "@sh",
    "env.x",
    "as $x |",
]


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on the PATH: apt-get install jq")
def test_no_script_of_jq_is_let_through_that_shows_the_environment(fuzz_count: int) -> None:
    for script in _accepted(JQ, _JQ_STARTS, _JQ_PIECES, fuzz_count // 8):
        done = subprocess.run(
            ["jq", "-n", script], env={"PATH": "/usr/bin:/bin", "MINE": "5ecret"}, capture_output=True, check=False
        )
        assert b"5ecret" not in done.stdout + done.stderr, script


def test_no_format_of_printf_is_let_through_that_does_more_than_print(fuzz_count: int, tmp_path: Path) -> None:
    """Bash's own, for which a subscript is an arithmetic expression, and may run a command."""
    pieces = [*"%sdifxcbqnv*$-+ #0.1(T)\\", "%n", "%(%s)T", "%*d", "%1$s", "%%"]
    attack = "a[$(touch made)]"
    for format_ in _accepted(PRINTF, ["%s", "%d %s", "%-5.2f", "%b%q"], pieces, fuzz_count // 8):
        if format_.startswith("-"):
            continue  # an option, which is refused before
        subprocess.run(
            ["bash", "-c", 'printf "$@"', "x", format_, *[attack] * 4], capture_output=True, cwd=tmp_path, check=False
        )
        assert list(tmp_path.iterdir()) == [], format_


# -- the option tables and the programs' help texts

_OWN_WORDS = {
    "git",
    "dpkg",
    "find",
    "ip",
    "tree",
    "jq",
    "ps",
    "test",
    "[",
    "[[",
    "cd",
    "type",
    "echo",
    "printf",
    "pwd",
    ":",
}
"""Programs that do not document their options as GNU programs do, or are builtins."""


def _tables() -> list[tuple[str, Program]]:
    entries = [*PROGRAMS.items(), *CHANGING_PROGRAMS.items()]
    return [
        (name, program)
        for name, program in entries
        if name.partition(" ")[0] not in _OWN_WORDS and (program.short or program.long - {"version"})
    ]


@cache
def _help(name: str) -> str:
    if not shutil.which(name):
        return ""
    done = subprocess.run([name, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("name", "program"), [pytest.param(*entry, id=entry[0]) for entry in _tables()])
def test_options_take_values_as_the_program_documents(name: str, program: Program) -> None:
    """A value that the table misses would be parsed as an operand, and hide what follows."""
    text = _help(name)
    for option in program.long:
        plain = option.rstrip(":=")
        required = re.search(rf"--{re.escape(plain)}(?: ?=(?![a-z])| *<\w)", text)
        optional = re.search(rf"--{re.escape(plain)}\[=", text)
        if optional:
            assert not option.endswith(":"), f"the value of --{plain} is never the next word"
        elif required:
            assert option.endswith((":", "=")), f"--{plain} takes a value"
        elif re.search(rf"--{re.escape(plain)}(?![\w=-])", text):
            assert not option.endswith((":", "=")), f"--{plain} takes no value"


@pytest.mark.parametrize(("name", "program"), [pytest.param(*entry, id=entry[0]) for entry in _tables()])
def test_letters_take_values_as_the_program_documents(name: str, program: Program) -> None:
    text = _help(name)
    for letter in re.findall(r"[^:#]", program.short):
        described = re.search(rf"^ *-{letter},? +--[\w-]+(?:(\[)|( ?=(?![a-z])| *<\w))?", text, re.MULTILINE)
        if described and not described[1]:
            assert (f"{letter}:" in program.short) == bool(described[2]), f"-{letter}"
