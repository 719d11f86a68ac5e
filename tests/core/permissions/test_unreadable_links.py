"""Links that cannot be read (`/proc/PID/exe` of a process that ended, or is another user's) are data, not errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpilot.contract import ChangesFiles, Effect, ReadsFiles, RunsCommand

from .conftest import MakePolicy


@pytest.fixture
def unreadable() -> Iterator[str]:
    """A link whose readlink(2) fails for every user: the executable of a process that ended and was not waited for."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    link = f"/proc/{child}/exe"
    with pytest.raises(OSError, match=link):
        os.path.realpath(link)
    yield link
    os.waitpid(child, 0)


@pytest.mark.parametrize("mode", ["observe", "operate", "full"])
@pytest.mark.parametrize(
    "line",
    [
        "ls -l {}",
        "cat {}",
        "cat {}/x",
        "cat < {}",
        "ls > {}",
        "touch {}",
        "cp a.txt {}",
        "cp {} b.txt",
        "mv {} b.txt",
        "cd {} && ls",
        "cd {}; cat a.txt",
        "grep -r x {}",
        "diff -r {} src",
        "head -n 1 x:{}",
        "ls {}?",
        "ls {}/*.txt",
        "tee {}",
        "chmod +x {}",
        "find {} -name x",
    ],
)
def test_a_command_that_names_one_gets_a_decision(
    unreadable: str, mode: str, line: str, make_policy: MakePolicy, workspace: Path
) -> None:
    decision = make_policy(mode).decide("shell", RunsCommand(line.format(unreadable), workspace))
    assert decision.action == {"observe": "deny", "operate": "ask", "full": "allow"}[mode]


@pytest.mark.parametrize("mode", ["observe", "operate", "full"])
def test_a_command_that_starts_in_one_gets_a_decision(
    unreadable: str, mode: str, make_policy: MakePolicy, workspace: Path
) -> None:
    decision = make_policy(mode).decide("shell", RunsCommand("ls", Path(unreadable)))
    assert decision.action == {"observe": "deny", "operate": "ask", "full": "allow"}[mode]


@pytest.mark.parametrize("name", [b"\xff\xfe.txt", b"a\nb.txt", b"\x1b[31m.txt", b"\xed\xa0\x80.txt"])
def test_reasons_are_printable_whatever_a_file_is_called(name: bytes, make_policy: MakePolicy, tmp_path: Path) -> None:
    (tmp_path / ".secret").mkdir()
    target = tmp_path / ".secret" / os.fsdecode(name)
    (tmp_path / os.fsdecode(name)).symlink_to(target)
    effects: list[Effect] = [ReadsFiles((target,)), ChangesFiles((target,))]
    for effect in (*effects, RunsCommand("cat *.txt", tmp_path), RunsCommand("cat *.txt", target)):
        for mode in ("observe", "operate"):
            reason = make_policy(mode).decide("shell", effect).reason
            assert ".secret" in reason
            assert reason.encode().decode().isprintable()


@pytest.mark.parametrize("mode", ["observe", "operate", "full"])
@pytest.mark.parametrize("make_effect", [ReadsFiles, ChangesFiles])
def test_a_rule_that_names_one_gets_a_decision(
    unreadable: str, mode: str, make_effect: type[ReadsFiles | ChangesFiles], make_policy: MakePolicy, workspace: Path
) -> None:
    effect: Effect = make_effect((workspace / "a.txt",))
    policy = make_policy(mode, deny=[f"tool: {unreadable}"])
    assert policy.decide("tool", effect).action in {"allow", "deny"}


def test_a_link_that_points_to_one_is_not_followed_into_an_error(
    unreadable: str, make_policy: MakePolicy, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(unreadable)
    for line in ("cat link", "ls *", "cat lin?", "cat loop/x", f"cat {'x/' * 900}y", f"cat {'n' * 300}"):
        assert make_policy().decide("shell", RunsCommand(line, tmp_path)).action in {"allow", "ask"}, line
    assert make_policy().decide("shell", RunsCommand("cat link", tmp_path)).action == "ask"
