"""Requests without a terminal: what goes to standard output and error, and the exit codes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from vmpilot.contract import TextDelta, ToolStarted, TurnEnded, TurnStarted, decode_event
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Step

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here


def calls(command: str, text: str = "") -> Reply:
    return Reply(text, tool_calls=(ScriptedCall("shell", {"command": command}),))


def test_only_the_answer_goes_to_standard_output(here: Here) -> None:
    with ScriptedServer([calls("echo made | tee made; exit 3", "I look."), Reply("All **done**.\n")]) as server:
        ran = here("--mode", "full", "do it", server=server)
    assert ran.out == "All **done**.\n"
    assert ran.err == "I look.\n$ echo made | tee made; exit 3\nmade\n(exit code 3)\n"
    assert ran.code == 0
    assert server.requests[0].messages[1]["content"] == "do it"
    assert server.requests[0].headers["authorization"] == "Bearer sk-cli-0123456789abcdef"


def test_words_are_joined_and_standard_input_is_added(here: Here) -> None:
    with ScriptedServer([Reply("I see.")]) as server:
        here("what", "is", "wrong?", server=server, stdin="\nline 1\nline 2\n")
    assert server.requests[0].messages[1]["content"] == "what is wrong?\n\nline 1\nline 2"


def test_standard_input_alone_is_a_request(here: Here) -> None:
    with ScriptedServer([Reply("I see.")]) as server:
        ran = here(server=server, stdin="do it")
    assert (ran.code, server.requests[0].messages[1]["content"]) == (0, "do it")


@pytest.mark.parametrize("words", [("ask", "config"), ("ask", "backends", "list"), ("the", "config"), ("config", "x")])
def test_a_first_word_that_names_a_command_is_the_command(here: Here, words: tuple[str, ...]) -> None:
    if words[0] == "config":
        ran = here(*words)
        assert (ran.code, ran.out) == (2, "")
        assert 'vmpilot ask "config …"' in ran.err
        return
    with ScriptedServer([Reply("Fine.")]) as server:
        here(*words, server=server)
    assert server.requests[0].messages[1]["content"] == " ".join(words[1:] if words[0] == "ask" else words)


@pytest.mark.parametrize(
    ("script", "options", "code", "told"),
    [
        pytest.param([Reply("Yes.")], [], 0, "", id="answered"),
        pytest.param([HttpError(401)], [], 1, "vmpilot: ", id="failed"),
        pytest.param([calls("ls")], ["--max-steps", "1"], 3, "Stopped after 1 step,", id="limit"),
        pytest.param([calls("env touch x"), Reply("No.")], [], 4, "--mode full", id="denied"),
        pytest.param([calls("env touch x"), Reply("No.")], ["--mode", "observe"], 4, "denied", id="observe"),
    ],
)
def test_exit_codes_of_turns(here: Here, script: list[Step], options: list[str], code: int, told: str) -> None:
    with ScriptedServer(script) as server:
        ran = here(*options, "do it", server=server)
    assert ran.code == code
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_fallback_models_are_used_in_order_and_each_switch_is_reported(here: Here) -> None:
    with ScriptedServer([HttpError(401), HttpError(404), Reply("Fine.")]) as server:
        ran = here("--fallback", "second", "--fallback", "third", "do it", server=server)
    assert (ran.code, ran.out) == (0, "Fine.\n")
    assert re.findall(r"^Switching from (\w+) to (\w+): ", ran.err, re.MULTILINE) == [
        ("m", "second"),
        ("second", "third"),
    ]
    assert [request.body["model"] for request in server.requests] == ["m", "second", "third"]


def test_options_for_model_calls(here: Here) -> None:
    with ScriptedServer([Reply("Fine.")]) as server:
        here("--tool-mode", "text", "--no-stream", "--cache", "off", "do it", server=server)
    assert "tools" not in server.requests[0].body
    shown = here("config", "show").out
    assert all(name in shown for name in ("fallback", "tool_mode", "streaming", "cache"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Nothing to do"),
        (["  "], "Nothing to do"),
        (["--max-steps", "0", "x"], "--max-steps"),
        (["--max-steps", "many", "x"], "--max-steps"),
        (["-t", "3", "x"], "--temperature"),
        (["-t", "nan", "x"], "--temperature"),
        (["--mode", "god", "x"], "--mode"),
        (["--tool-mode", "magic", "x"], "--tool-mode"),
        (["--cache", "cupboard", "x"], "--cache"),
        (["--no-such-option", "x"], "--no-such-option"),
        (["--cwd", "/no/such/folder", "x"], "/no/such/folder"),
        (["-c", "-r", "abc", "x"], "not allowed with"),
        (["-c", "x"], "no conversation to continue"),
        (["-r", "abc", "x"], 'no conversation "abc"'),
        (["backends"], "usage"),
        (["backends", "frobnicate"], "usage"),
        (["config", "show", "more"], "usage"),
        (["--output", "xml", "x"], "--output"),
    ],
)
def test_invalid_usage_exits_with_2(here: Here, arguments: list[str], told: str) -> None:
    ran = here(*arguments)
    assert ran.code == 2
    assert told in ran.err
    assert ran.out == ""
    assert len(ran.err.splitlines()) <= 3


@pytest.mark.parametrize("options", [["--backend", "nonsense"], ["--backend", ""]])
def test_no_usable_backend_exits_with_5(here: Here, options: list[str]) -> None:
    ran = here(*options, "x")
    assert ran.code == 5
    assert "not installed" in ran.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("modle = 'x'", 'unknown key "modle"'),
        ("max_steps = 'many'", "max_steps must be a whole number above 0"),
        ("model = ", "Cannot read configuration file"),
        ("\udcff", "Cannot read configuration file"),
    ],
)
def test_an_invalid_configuration_file_is_named(here: Here, content: str, told: str) -> None:
    path = here.folder / "config" / "config.toml"
    path.parent.mkdir()
    path.write_text(content, errors="surrogateescape")
    for arguments in (["x"], ["config", "show"], ["backends", "list"]):
        ran = here(*arguments)
        assert ran.code == 2
        assert told in ran.err
        assert str(path) in ran.err


def test_c_and_r_continue_a_conversation(here: Here) -> None:
    with ScriptedServer([Reply("One."), Reply("Two."), Reply("Three."), Reply("Four.")]) as server:
        first = json.loads(here("--output", "json", "First?", server=server).out)["conversation_id"]
        here("-c", "Second?", server=server)
        other = json.loads(here("--output", "json", "Other?", server=server).out)["conversation_id"]
        here("-r", first[:6], "Third?", server=server)
    assert first != other
    assert [message["content"] for message in server.requests[3].messages[1:]] == [
        "First?",
        "One.",
        "Second?",
        "Two.",
        "Third?",
    ]


def test_an_ambiguous_id_is_an_error_that_lists_them(here: Here) -> None:
    with ScriptedServer([Reply("Fine.")], repeat_last=True) as server:
        found: list[str] = []
        while len({id_[0] for id_ in found}) == len(found):
            found.append(json.loads(here("--output", "json", "x", server=server).out)["conversation_id"])
        ran = here("-r", found[-1][0], "y", server=server)
    assert ran.code == 2
    assert "Several conversations" in ran.err
    assert found[-1] in ran.err


def test_json_is_one_object_at_the_end(here: Here) -> None:
    with ScriptedServer([calls("ls", "I look."), Reply("Done.")]) as server:
        ran = here("--output", "json", "do it", server=server)
    result = json.loads(ran.out)
    assert ran.out.count("\n") == 1
    assert result["answer"] == "Done."
    assert (result["reason"], result["error"], result["backend"], result["model"]) == ("answered", None, "bare", "m")
    assert result["usage"] == {"input_tokens": 200, "output_tokens": 40, "cached_tokens": 0, "reasoning_tokens": 0}
    assert ran.err == ""


def test_json_of_a_failure_and_its_sentence_on_standard_error(here: Here) -> None:
    with ScriptedServer([HttpError(401)]) as server:
        ran = here("--output", "json", "do it", server=server)
    result = json.loads(ran.out)
    assert (ran.code, result["answer"], result["reason"]) == (1, "", "failed")
    assert f"vmpilot: {result['error']}\n" == ran.err


def test_jsonl_is_one_event_per_line(here: Here) -> None:
    with ScriptedServer([calls("ls"), Reply("All done.")]) as server:
        ran = here("--output", "jsonl", "do it", server=server)
    lines = ran.out.splitlines()
    assert all(re.match(r'\{"type":"[a-z_]+",', line) for line in lines)
    events = [decode_event(line) for line in lines]
    assert [type(events[0]), type(events[-1])] == [TurnStarted, TurnEnded]
    assert any(isinstance(event, ToolStarted) for event in events)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["All ", "done."]
    assert ran.err == ""


def test_verbose_shows_the_conversation_full_outputs_and_tokens(here: Here) -> None:
    with ScriptedServer([calls("seq 30"), Reply("Counted.")]) as server:
        ran = here("-v", "--mode", "full", "count", server=server)
    assert re.search(r"^conversation [0-9a-f]{12}, bare, m$", ran.err, re.MULTILINE)
    assert "\n30\n" in ran.err
    assert re.search(r"200 tokens in, 40 out, cost unknown, 2 steps \(of 25\), \d+\.\d s\n", ran.err)
    assert ran.out == "Counted.\n"


def test_debug_shows_what_vmpilot_does_but_no_key(here: Here) -> None:
    token, word = "ghp_" + "a1B2" * 9, "opensesame-77"
    here.monkeypatch.setenv("MY_PASSWORD", word)
    script: list[Step] = [calls(f"echo {token} {word}; env touch made"), HttpError(503), Reply("It failed.")]
    with ScriptedServer(script) as server:
        here.monkeypatch.setenv("VMPILOT_ATTEMPTS", "2")
        ran = here("-d", "x", server=server)
    log = [line for line in ran.err.splitlines() if re.match(r"\d\d:\d\d:\d\d\.\d{3} vmpilot\.", line)]
    for told in (
        "backend bare, model m, mode operate; set by .*--model",
        "sandbox: ",
        r"request to m: 1 messages, \d+ tools, about \d+ bytes, attempt 1$",
        r"answer from m: 0 characters, calls shell, tool_calls, 100 tokens in, 20 out, \d+\.\d s to",
        r"permission: ask \(.*\): \$ echo \[masked\] \[masked\]; env touch made$",
        r"no answer from m after \d+\.\d s: ProviderUnavailable: ",
        r"retrying in 0\.\d s$",
        "request to m: .*, attempt 2$",
    ):
        assert any(re.search(told, line) for line in log), (told, ran.err)
    assert not [line for line in log if token in line or word in line]


def test_debug_shows_processes_and_is_silent_without(here: Here) -> None:
    with ScriptedServer([calls("exit 3"), Reply("It failed.")] * 2) as server:
        ran = here("-d", "--mode", "full", "x", server=server)
        assert re.search(r"process \d+ started in .*/work: .*bash", ran.err)
        assert re.search(r"process \d+ ended after \d+\.\d s: exit code 3", ran.err)
        assert re.search(r"tool shell failed after \d+\.\d s, \d+ characters", ran.err)
        assert "process" not in here("--mode", "full", "x", server=server).err


def test_the_folder_to_work_in(here: Here) -> None:
    (here.folder / "other").mkdir()
    with ScriptedServer([calls("pwd"), Reply("There.")]) as server:
        ran = here("--cwd", str(here.folder / "other"), "where?", server=server)
    assert f"{here.folder / 'other'}\n" in ran.err


def test_config_show_has_origins_and_hides_the_key(here: Here) -> None:
    ran = here("config", "show")
    assert ran.code == 0
    assert 'api_key = "(set)"  # VMPILOT_API_KEY\n' in ran.out
    assert 'backend = "bare"  # VMPILOT_BACKEND\n' in ran.out
    assert 'mode = "operate"  # default\n' in ran.out
    shown = json.loads(here("config", "show", "--output", "json").out)
    assert shown["api_key"] == {"value": "(set)", "origin": "VMPILOT_API_KEY"}


def test_config_path(here: Here) -> None:
    assert here("config", "path").out == f"{here.folder / 'config' / 'config.toml'}\n"


def test_backends_list_marks_the_chosen_one(here: Here) -> None:
    ran = here("backends", "list")
    assert ran.code == 0
    (row,) = [line for line in ran.out.splitlines() if line.startswith("bare ")]
    assert "chosen: VMPILOT_BACKEND" in row
    assert "vmpilot-sample-bare 1.0" in row
    rows = json.loads(here("backends", "list", "--output", "json").out)
    assert [row["name"] for row in rows if row["chosen"]] == ["bare"]
    ran = here("backends", "list", "--backend", "nonsense")
    assert (ran.code, "nonsense" in ran.err, "bare " in ran.out) == (5, True, True)


def test_help_and_version(here: Here) -> None:
    for option in ("--help", "-h"):
        ran = here(option)
        assert (ran.code, ran.err) == (0, "")
        assert "exit codes:" in ran.out
        assert max(map(len, ran.out.splitlines())) <= 120
    assert re.fullmatch(r"vmpilot \d+\.\d+.*\n", here("--version").out)


def test_the_callers_backend_is_used_unless_an_option_names_another(here: Here) -> None:
    assert '"nonsense"' in here("x", backend="nonsense").err
    assert '"other"' in here("--backend", "other", "x", backend="nonsense").err
