"""What a person sees of calls that were denied, and above whose output which title stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from vmpilot.cli.tool_view import call_in_words, refusal
from vmpilot.contract import ToolCall
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.cli.conftest import Here, Screen

Start = Callable[..., "Screen"]
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def calls(*commands: str) -> Reply:
    return Reply(tool_calls=tuple(ScriptedCall("shell", {"command": command}) for command in commands))


def test_nobody_to_ask_says_what_was_denied_and_how_to_allow_it(here: Here) -> None:
    with ScriptedServer([calls("env touch made"), Reply("I cannot.")]) as server:
        ran = here("x", server=server)
    assert (ran.code, ran.out) == (4, "I cannot.\n")
    assert ran.err.startswith("$ env touch made\nDenied: ")
    assert "no terminal is attached to ask the user.\nvmpilot: something that this needed was denied" in ran.err
    assert "a rule in your configuration file" in ran.err
    assert "Do not try" not in ran.err


def test_mode_observe_names_the_mode_that_lets_more_run(here: Here) -> None:
    with ScriptedServer([calls("touch made"), Reply("I cannot.")]) as server:
        ran = here("--mode", "observe", "x", server=server)
    assert ran.code == 4
    assert ran.err.startswith("$ touch made\nDenied: mode observe ")
    assert ran.err.endswith("; mode observe only reads, --mode operate lets more run\n")
    assert "The user" not in ran.err


def test_who_said_no_is_not_told_how_to_allow_it(screen: Start) -> None:
    with ScriptedServer([calls("env touch made"), Reply("As you say.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N")
        shown.type("n\n")
        assert shown.end() == 4
    assert f"{DIM}Denied: the user declined.{PLAIN}\nAs you say.\n" in shown.text
    assert shown.text.endswith("vmpilot: something that this needed was denied\n")


def test_output_after_another_question_stands_below_its_own_title(screen: Start) -> None:
    first = "env echo first\n# of two lines"
    with ScriptedServer([calls(first, "env echo second"), Reply("Done.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N")
        shown.type("y\n")
        shown.wait_for("Run it? [y/N", times=2)
        shown.type("y\n")
        assert shown.end() == 0
    lines = [line.replace(BOLD, "").replace(DIM, "").replace(PLAIN, "") for line in shown.text.splitlines()]
    above = {word: next(line for line in reversed(lines[: lines.index(word)]) if line[:1] in "$…") for word in WORDS}
    assert above["first"] in {"…", "$ env echo first"}
    assert above["second"] == "$ env echo second"


WORDS = ("first", "second")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"command": "ls -l"}', "shell: ls -l"),
        ('{"command": "ls", "timeout": 3}', 'shell {"command": "ls", "timeout": 3}'),
        ("{}", "shell {}"),
        ("[1]", "shell [1]"),
        ("{broken", "shell {broken"),
    ],
)
def test_a_call_without_a_title(arguments: str, words: str) -> None:
    assert call_in_words(ToolCall("1", "shell", arguments)) == words


def test_what_only_the_model_is_told_is_left_out() -> None:
    assert refusal("Not run: no such tool. Make the call again, corrected.") == "Not run: no such tool."
    denied = "Denied: the user declined."
    assert refusal(f"{denied} Do not try to get around it: continue\nso.") == denied
    assert refusal("It failed.") == "It failed."


def test_always_is_shown_before_it_is_kept_and_holds_at_once_and_later(screen: Start, tmp_path: Path) -> None:
    with ScriptedServer([calls("curl --version"), calls("curl --version"), Reply("Done.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N/always]")
        shown.type("always\n")
        rule = "  shell: curl --version  (exactly this, outside the sandbox)\n"
        assert f"without being asked:\n{rule}" in shown.wait_for("Keep that? [y/N]")
        assert not (tmp_path / "config" / "approvals.json").exists()
        shown.type("y\n")
        assert shown.end() == 0
        assert shown.text.count("Run it?") == 1
    assert "shell: curl --version" in (tmp_path / "config" / "approvals.json").read_text()
    with ScriptedServer([calls("curl --version"), Reply("Again.")]) as server:
        later = screen("x", server=server)
        assert later.end() == 0
    assert "Run it?" not in later.text
