"""How denied calls and the titles of calls are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from vmpilot.cli._tool_view import denial_reason, describe_call
from vmpilot.contract import ToolCall
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.cli.conftest import Here, Screen

Start = Callable[..., "Screen"]
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def calls(*commands: str) -> Reply:
    return Reply(tool_calls=tuple(ScriptedCall("shell", {"command": command}) for command in commands))


def test_a_denial_without_a_terminal_shows_how_to_allow_the_action(here: Here) -> None:
    with ScriptedServer([calls("env touch made"), Reply("I cannot.")]) as server:
        ran = here("x", server=server)
    assert (ran.code, ran.out) == (4, "I cannot.\n")
    assert ran.err.startswith("$ env touch made\nDenied: ")
    assert "\nvmpilot: 1 action was denied: `env touch made`\nNo terminal is attached" in ran.err
    assert "a rule in your configuration file" in ran.err
    assert "Do not try" not in ran.err


def test_a_denial_in_mode_observe_names_mode_operate(here: Here) -> None:
    with ScriptedServer([calls("touch made"), Reply("I cannot.")]) as server:
        ran = here("--mode", "observe", "x", server=server)
    assert ran.code == 4
    assert ran.err.startswith("$ touch made\nDenied: Changes only the workspace; observe mode ")
    assert ran.err.endswith(
        "\nvmpilot: 1 action was denied: `touch made`\nMode observe only reads. To allow more, use --mode operate.\n"
    )
    assert "The user" not in ran.err


def test_a_user_who_declined_gets_no_advice(screen: Start) -> None:
    with ScriptedServer([calls("env touch made"), Reply("As you say.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N")
        shown.type("n\n")
        assert shown.end() == 4
    assert f"{DIM}You declined.{PLAIN}\nAs you say.\n" in shown.text
    assert shown.text.endswith("vmpilot: 1 action was denied: `env touch made`\n")


def test_output_after_another_question_repeats_its_title(screen: Start) -> None:
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
    assert describe_call(ToolCall("1", "shell", arguments)) == words


def test_advice_for_the_model_is_not_shown() -> None:
    assert denial_reason("Not run: no such tool. Make the call again, corrected.") == "Not run: no such tool."
    denied = "Denied: the user declined."
    assert denial_reason(f"{denied} Do not try to get around it: continue\nso.") == denied
    assert denial_reason("It failed.") == "It failed."


def test_rules_are_shown_before_they_are_saved_and_apply_at_once(screen: Start, tmp_path: Path) -> None:
    with ScriptedServer([calls("curl --version"), calls("curl --version"), Reply("Done.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N/always]")
        shown.type("always\n")
        rule = "  shell: curl --version  (exactly this command, outside the sandbox)\n"
        assert f"without asking:\n{rule}" in shown.wait_for("Save this rule? (no: run it once) [y/N]")
        assert not (tmp_path / "config" / "approvals.json").exists()
        shown.type("y\n")
        assert shown.end() == 0
        assert shown.text.count("Run it?") == 1
    assert "shell: curl --version" in (tmp_path / "config" / "approvals.json").read_text()
    with ScriptedServer([calls("curl --version"), Reply("Again.")]) as server:
        later = screen("x", server=server)
        assert later.end() == 0
    assert "Run it?" not in later.text


def test_a_rule_that_is_not_saved_lets_the_call_run_once(screen: Start, tmp_path: Path) -> None:
    with ScriptedServer([calls("curl --version"), calls("curl --version"), Reply("Done.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N/always]")
        shown.type("a\n")
        shown.wait_for("Save this rule? (no: run it once) [y/N]")
        shown.type("n\n")
        shown.wait_for("Run it? [y/N/always]", times=2)
        shown.type("n\n")
        assert shown.end() == 4
    first, second = (request.messages[-1]["content"] for request in server.requests[1:])
    assert "Protocols: " in first
    assert "Denied" in second
    assert not (tmp_path / "config" / "approvals.json").exists()
