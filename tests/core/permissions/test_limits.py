"""If parsing fails, or takes too long, nothing is let through."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vmpilot.contract import RunsCommand
from vmpilot.permissions import Decision, PermissionPolicy
from vmpilot.permissions.command_spec import Program
from vmpilot.permissions.found_commands import FOUND_LIMIT
from vmpilot.permissions.lexer import lex_line
from vmpilot.permissions.read_only_commands import CHANGING_PROGRAMS, PROGRAMS
from vmpilot.permissions.script_patterns import AWK, JQ, PRINTF, SED
from vmpilot.permissions.shell_line import COMMAND_LIMIT, LINE_LIMIT, WORD_LIMIT
from vmpilot.permissions.shfmt_parser import ParserFailed, ShfmtParser

from .conftest import MakePolicy


def _shfmt(tmp_path: Path, script: str) -> ShfmtParser:
    """A parser whose program is this script."""
    program = tmp_path / "shfmt"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return ShfmtParser(program, timeout=0.5)


@pytest.mark.parametrize("script", ["kill -9 $$", "exec /bin/sleep 60", "kill -6 $$"])
def test_a_parser_that_crashes_or_hangs_is_an_error(script: str, tmp_path: Path) -> None:
    with pytest.raises(ParserFailed):
        _shfmt(tmp_path, script).parse("ls")


@pytest.mark.parametrize(
    "output", ["exit 0", "echo", "echo '[]'", "echo '{}'", "echo null", "exit 1", "echo '{\"Stmts\":[{}]}'"]
)
def test_invalid_output_of_a_parser_lets_nothing_through(output: str, tmp_path: Path, workspace: Path) -> None:
    policy = PermissionPolicy("operate", workspace=workspace, confines=lambda: True)
    policy._shell._parser._shfmt = _shfmt(tmp_path, output)
    assert policy.decide("shell", RunsCommand("ls", workspace)).action == "ask"


def test_a_missing_parser_lets_nothing_through(workspace: Path, tmp_path: Path) -> None:
    policy = PermissionPolicy("operate", workspace=workspace, confines=lambda: True)
    policy._shell._parser._shfmt = ShfmtParser(tmp_path / "nothing")
    decision = policy.decide("shell", RunsCommand("ls", workspace))
    assert decision.action == "ask"
    assert "Could not be checked: shfmt failed" in decision.reason


def test_a_failure_is_not_remembered(tmp_path: Path, workspace: Path) -> None:
    policy = PermissionPolicy("operate", workspace=workspace, confines=lambda: True)
    policy._shell._parser._shfmt = _shfmt(tmp_path, "kill -9 $$")
    assert policy.decide("shell", RunsCommand("ls", workspace)).action == "ask"
    policy._shell._parser._shfmt = None
    assert policy.decide("shell", RunsCommand("ls", workspace)).action == "allow"


def test_the_parser_sees_no_environment(tmp_path: Path) -> None:
    _shfmt(tmp_path, f"env > {tmp_path}/env; pwd > {tmp_path}/pwd; echo '{{}}'").parse("ls")
    assert "HOME" not in (tmp_path / "env").read_text()
    assert (tmp_path / "pwd").read_text() == "/\n"


def test_the_lexer_has_limits() -> None:
    assert lex_line("ls " + "a" * (LINE_LIMIT - 3))
    assert lex_line("ls " + "a" * (LINE_LIMIT - 2)) is None
    assert lex_line(";".join(["ls"] * COMMAND_LIMIT))
    assert lex_line(";".join(["ls"] * (COMMAND_LIMIT + 1))) is None
    assert lex_line(" ".join(["ls"] * WORD_LIMIT))
    assert lex_line(" ".join(["ls"] * (WORD_LIMIT + 1))) is None


@pytest.mark.parametrize(
    "line", ["$(" * 5_000, "(" * 9_000, "ls;" * 9_000, "x " * 20_000, "'" * 9_001, "<<a " * 900, "\ud800"]
)
def test_huge_lines_are_decided_quickly(line: str, make_policy: MakePolicy, workspace: Path) -> None:
    began = time.process_time()
    decision = make_policy("full", deny=["shell: rm"]).decide("shell", RunsCommand(line, workspace))
    assert time.process_time() - began < 3
    assert decision.action == "ask"


def test_found_commands_are_bounded(make_policy: MakePolicy, workspace: Path) -> None:
    line = "true\n" * (FOUND_LIMIT + 2) + "rm x"
    assert make_policy("full", deny=["shell: rm"]).decide("shell", RunsCommand(line, workspace)).action != "allow"


@pytest.mark.parametrize("script", [SED, AWK, PRINTF, JQ], ids=["sed", "awk", "printf", "jq"])
@pytest.mark.parametrize(
    "piece", ["1,", "s/a/", "[", "[]", "\\", "%0", "%%", "{print ", "$1 ", "$1==1&&", "/a", ";p", " "]
)
def test_patterns_of_scripts_are_fast(script: object, piece: str) -> None:
    began = time.process_time()
    script.fullmatch(piece * (LINE_LIMIT // len(piece)) + "\x00")  # type: ignore[attr-defined]
    assert time.process_time() - began < 1


def test_a_wildcard_that_matches_too_many_files_needs_approval(tmp_path: Path) -> None:
    policy = PermissionPolicy("operate", workspace=tmp_path, confines=lambda: True)
    (tmp_path / "many").mkdir()
    for number in range(1_100):
        os.mknod(tmp_path / "many" / f"{number}.txt")
    assert policy.decide("shell", RunsCommand("cat many/*.txt", tmp_path)).action == "ask"


@pytest.mark.parametrize("name", sorted({*PROGRAMS, *CHANGING_PROGRAMS}))
def test_no_program_takes_an_unknown_option(name: str) -> None:
    from vmpilot.permissions.shell_line import Word

    for program in _entries(name):
        for option in ("--exec=x", "--delete", "--no-such-option", "--", "-@", "-:", "-#", "-é"):
            assert program.parse([Word(option, option)]) is None, option


def _entries(name: str) -> list[Program]:
    return [table[name] for table in (PROGRAMS, CHANGING_PROGRAMS) if name in table]


def test_a_value_hides_nothing(decide: Callable[[str], Decision]) -> None:
    assert decide("sort -k 2 -t, a.txt").action == "allow"
    assert decide("sort -k -o x").action == "ask"
    assert decide("sort -k").action == "ask"


def test_parsed_lines_are_remembered(make_policy: MakePolicy, workspace: Path) -> None:
    policy = make_policy()
    for _ in range(50):
        policy.decide("shell", RunsCommand("cat a.txt | head", workspace))
    assert policy._shell._parser._parse.cache_info().misses == 1
