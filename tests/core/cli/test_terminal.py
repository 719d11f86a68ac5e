"""The program on a real (pseudo-)terminal of 60 columns: streaming, questions, emphasis, Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer, Stall

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.cli.conftest import Screen

Start = Callable[..., "Screen"]
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def calls(*commands: str, text: str = "") -> Reply:
    return Reply(text, tool_calls=tuple(ScriptedCall("shell", {"command": command}) for command in commands))


def test_the_answer_streams_and_long_lines_are_left_to_the_terminal(screen: Start) -> None:
    long = "word " * 40
    with ScriptedServer([Stall(after=3, reply=Reply("First comes this."))]) as server:
        shown = screen("x", server=server)
        assert shown.wait_for("First comes ").endswith("First comes ")
        shown.signal(signal.SIGINT)
        assert shown.end() == 130
    assert shown.text == "First comes \nvmpilot: Interrupted.\n"
    with ScriptedServer([Reply(long)]) as server:
        shown = screen("x", server=server)
        assert shown.end() == 0
    assert shown.text == f"{long}\n"


def test_a_command_is_echoed_in_bold_and_its_output_dimmed_and_counted(screen: Start) -> None:
    with ScriptedServer([calls("seq 14; exit 3", text="I count."), Reply("Counted.")]) as server:
        shown = screen("--mode", "full", "x", server=server)
        assert shown.end() == 0
    numbers = "".join(f"{DIM}{number}{PLAIN}\n" for number in range(1, 11))
    counted = f"{DIM}(and 4 more lines){PLAIN}\n{DIM}(exit code 3){PLAIN}\n"
    assert shown.text == f"I count.\n{BOLD}$ seq 14; exit 3{PLAIN}\n{numbers}{counted}Counted.\n"


def test_control_characters_are_shown_as_escapes(screen: Start) -> None:
    evil = "a\x1b]0;title\x07b\x1b[2Jc\u202ed\r"
    command = "printf 'x\\033[31mred\\033[0my\\n' # \x1b[8mhidden\u202e"
    with ScriptedServer([calls(command), Reply(evil)]) as server:
        shown = screen("--mode", "full", "x", server=server)
        assert shown.end() == 0
    assert "a\\x1b]0;title\\x07b\\x1b[2Jc\\u202ed\\x0d" in shown.text
    assert f"{BOLD}$ printf 'x\\033[31mred\\033[0my\\n' # \\x1b[8mhidden\\u202e{PLAIN}\n" in shown.text
    assert f"{DIM}xredy{PLAIN}\n" in shown.text


def test_a_command_to_approve_shows_invisible_characters(screen: Start) -> None:
    hidden = "env echo a\u00a0b\u3164cd\u00ade\ufe01f"
    answer = "Done \u26a0\ufe0f, 10\u202f000 \u0645\u06cc\u200c\u062e, no\u3164w."
    with ScriptedServer([calls(hidden), Reply(chunks=tuple(answer))]) as server:
        shown = screen("x", server=server)
        shown.wait_for("$ env echo a\\xa0b\\u3164cd\\xade\\ufe01f", "Run it? [y/N")
        shown.type("n\n")
        shown.end()
    assert answer.replace("\u3164", "\\u3164") in shown.text


@pytest.mark.parametrize(
    ("answer", "made", "code"),
    [("y\n", True, 0), ("yes\n", True, 0), ("n\n", False, 4), ("\n", False, 4), ("\x04", False, 4)],
)
def test_the_question_and_its_answers(screen: Start, tmp_path: Path, answer: str, made: bool, code: int) -> None:
    with ScriptedServer([calls("env touch made"), Reply("As you say.")]) as server:
        shown = screen("x", server=server)
        shown.wait_for(f"{BOLD}$ env touch made{PLAIN}\n", "Run it? [y/N")
        assert not (tmp_path / "made").exists()
        shown.type(answer)
        assert shown.end() == code
    assert (tmp_path / "made").exists() == made
    assert shown.text.count("$ env touch made") == 1
    assert ("vmpilot: 1 action was denied: `env touch made`\n" in shown.text) == (code == 4)
    assert "As you say.\n" in shown.text


def test_typing_before_the_question_does_not_answer_it(screen: Start, tmp_path: Path) -> None:
    with ScriptedServer(
        [Reply(tool_calls=calls("env touch made").tool_calls, delay=0.5), Reply("As you say.")]
    ) as server:
        shown = screen("x", server=server)
        shown.type("y\n")
        shown.wait_for("Run it? [y/N")
        shown.type("n\n")
        assert shown.end() == 4
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_at_the_question_ends_the_turn(screen: Start, tmp_path: Path, how: str) -> None:
    with ScriptedServer([calls("env touch made")]) as server:
        shown = screen("x", server=server)
        shown.wait_for("Run it? [y/N")
        if how == "key":
            shown.type("\x03")
        else:
            shown.signal(signal.SIGINT)
        assert shown.end() == 130
    assert not (tmp_path / "made").exists()
    assert shown.text.endswith("\nvmpilot: Interrupted.\n")
    assert "Traceback" not in shown.text


def test_questions_are_asked_one_at_a_time(screen: Start, tmp_path: Path) -> None:
    with ScriptedServer([calls("env touch one", "env touch two"), Reply("Done.")]) as server:
        shown = screen("x", server=server)
        assert "env touch two" not in shown.wait_for("Run it? [y/N")
        shown.type("n\n")
        shown.wait_for("Run it? [y/N", times=2)
        assert "$ env touch two" in shown.text
        shown.type("y\n")
        assert shown.end() == 4
    assert ((tmp_path / "one").exists(), (tmp_path / "two").exists()) == (False, True)


def test_a_question_is_asked_even_if_input_and_output_are_pipes(screen: Start, tmp_path: Path) -> None:
    with ScriptedServer([calls("env touch made"), Reply("Made.")]) as server:
        shown = screen("x", server=server, script='echo more | "$@" > out')
        shown.wait_for("Run it? [y/N")
        shown.type("y\n")
        assert shown.end() == 0
    assert (tmp_path / "out").read_text() == "Made.\n"
    assert (tmp_path / "made").exists()
    assert server.requests[0].messages[1]["content"] == "x\n\nmore"


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_a_question_is_asked_with_json_output(screen: Start, tmp_path: Path, output: str) -> None:
    with ScriptedServer([calls("env touch made"), Reply("Made.")]) as server:
        shown = screen("--output", output, "x", server=server, script='"$@" > out')
        shown.wait_for("$ env touch made", "Run it? [y/N")
        shown.type("y\n")
        assert shown.end() == 0
    assert (tmp_path / "made").exists()
    assert "Made." in (tmp_path / "out").read_text()


def test_parallel_calls_are_shown_one_after_the_other(screen: Start) -> None:
    with ScriptedServer([calls("sleep 0.3 && echo slow", "echo quick"), Reply("Done.")]) as server:
        shown = screen("x", server=server)
        assert shown.end() == 0
    lines = [line.replace(BOLD, "").replace(DIM, "").replace(PLAIN, "") for line in shown.text.splitlines()]
    assert sorted(lines) == sorted(["$ sleep 0.3 && echo slow", "slow", "$ echo quick", "quick", "Done."])
    assert lines.index("quick") == lines.index("$ echo quick") + 1


def test_a_retry_is_reported(screen: Start) -> None:
    with ScriptedServer([Reply(""), Reply("Now.")]) as server:
        shown = screen("x", server=server, script='VMPILOT_ATTEMPTS=2 exec "$@"')
        assert shown.end() == 0
    assert "the model returned an empty answer; retrying in " in shown.text
    assert shown.text.endswith("Now.\n")
