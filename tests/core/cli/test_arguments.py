"""How arguments are parsed: options before and after commands, `--`, and mistyped commands."""

from __future__ import annotations

import argparse
import pkgutil
import string
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vmpilot.cli import commands
from vmpilot.cli._arguments import make_parser, parse
from vmpilot.cli._parser import Parser
from vmpilot.cli._typos import is_one_edit
from vmpilot.cli.commands import COMMANDS as COMMAND_TABLE
from vmpilot.cli.commands import load_command
from vmpilot.testing import Reply, ScriptedServer

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here


def leaves(parser: Parser, *words: str) -> Iterator[tuple[tuple[str, ...], Parser]]:
    """Each command that can be run, with the words that lead to it."""
    if not parser.commands:
        yield words, parser
    for name, command in parser.commands.items():
        yield from leaves(command, *words, name)


COMMANDS = [words for words, _ in leaves(make_parser())]
NEEDED = {"KEY": "model", "VALUE": "m", "ID": "0", "NAME": "x", "FILE": "f", "WORD": "w", "TITLE": "t", "TASK": "t"}
"""A value for each positional argument that a command requires."""


def needed_words(words: tuple[str, ...]) -> list[str]:
    parser = make_parser()
    for word in words:
        parser = parser.command(word)
    places = [action for action in parser._get_positional_actions() if action.nargs in {None, "+"}]
    return [NEEDED[str(action.metavar)] for action in places]


def refusal(*arguments: str) -> int | str | None:
    """The exit code of the parser's error or help."""
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    return ended.value.code


def test_each_module_of_a_command_adds_its_parser_and_runs() -> None:
    root = make_parser()
    assert [*root.names] == [*COMMAND_TABLE] == [*root.commands]
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    assert modules == {*COMMAND_TABLE}
    for name in modules:
        assert callable(load_command(name).run)


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMAND_TABLE), *COMMANDS], ids=" ".join)
def test_help_fits_80_columns(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert refusal(*words, "--help") == 0
    assert not [line for line in capsys.readouterr().out.splitlines() if len(line) > 79]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_options_can_precede_separate_and_follow_the_words(words: tuple[str, ...]) -> None:
    behind = parse([*words, *needed_words(words), "-d"])
    assert behind.debug
    assert [behind.command, *filter(None, [behind.action])] == [*words]
    for at in range(len(words) + 1):
        assert parse([*words[:at], "-d", *words[at:], *needed_words(words)]) == behind


@pytest.mark.parametrize("words", [(), *dict.fromkeys([*(words[:1] for words in COMMANDS), *COMMANDS])], ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_each_command_has_its_own_help(words: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(len(words) + 1):
        assert refusal(*words[:at], option, *words[at:]) == 0
        shown = capsys.readouterr()
        usage = "vmpilot [ask]" if words == ("ask",) else " ".join(["vmpilot", *words])
        assert shown.out.startswith(f"usage: {usage} "), at
        assert shown.err == ""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["-d", "chats", "list"], {"command": "chats", "action": "list", "debug": True}),
        (["--mode", "observe", "doctor"], {"command": "doctor", "mode": "observe"}),
        (["--mode=observe", "doctor"], {"command": "doctor", "mode": "observe"}),
        (["--model", "chats", "say hi"], {"command": "ask", "model": "chats", "words": ["say hi"]}),
        (["-t", "0", "-dv", "x"], {"command": "ask", "temperature": 0.0, "verbose": True, "words": ["x"]}),
        (["-dr", "doctor", "x"], {"command": "ask", "resume": "doctor", "words": ["x"]}),
        (["-rdoctor", "x"], {"command": "ask", "resume": "doctor", "words": ["x"]}),
        (["chats", "-n", "3", "list"], {"command": "chats", "action": "list", "limit": 3}),
        (["chats", "search", "a", "--output", "json", "b"], {"words": ["a", "b"], "output": "json"}),
        (["chats", "rename", "0", "--", "-x", "--", "y"], {"id": "0", "words": ["-x", "--", "y"]}),
        (["find", "--mode", "full", "big", "files"], {"words": ["find", "big", "files"], "mode": "full"}),
        (["- tidy up", "doctor"], {"command": "ask", "words": ["- tidy up", "doctor"]}),
        (["--", "doctor"], {"command": "ask", "words": ["doctor"]}),
        (["--", "--"], {"command": "ask", "words": ["--"]}),
        (["find", "--", "--mode=full"], {"words": ["find", "--mode=full"], "mode": None}),
        (["ask", "doctr"], {"command": "ask", "words": ["doctr"]}),
    ],
)
def test_arguments_are_parsed(arguments: list[str], found: dict[str, object]) -> None:
    options = vars(parse(arguments))
    assert {name: options[name] for name in found} == found


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mode", "observe", "chats", "list"],
        ["--backend", "x", "cost"],
        ["-c", "doctor"],
        ["doctor", "now"],
        ["doctor", "--", "now"],
        ["chats", "--", "list"],
        ["chats", "list", "--limi", "3"],
        ["--verbos", "x"],
        ["--model", "--", "x"],
        ["--mode", "--", "full"],
        ["chats", "lst"],
        ["config", "x"],
    ],
)
def test_options_and_words_that_a_command_does_not_accept_are_errors(arguments: list[str]) -> None:
    assert refusal(*arguments) == 2


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["--", "-", "-d", "--mode=full", "--mode", "full", "--help", "-h", "--version", "doctor", "chats", "/x"]
)
BEFORE = st.sampled_from([[], ["-d"], ["--mode", "observe"], ["ask"], ["-t0", "ask", "-v"], ["--model", "m"]])


@given(BEFORE, st.lists(WORDS, max_size=6))
@example([], ["--mode=full", "do it"])
@example(["--mode", "observe"], ["--", "--mode", "full"])
def test_everything_after_two_hyphens_is_the_request(before: list[str], words: list[str]) -> None:
    options = parse([*before, "--", *words])
    assert options.words == words
    assert (options.command, options.literal) == ("ask", True)
    assert vars(options) == {**vars(parse([*before, "--"])), "words": words}


@given(st.lists(WORDS, max_size=6))
def test_two_hyphens_are_not_the_value_of_an_option(words: list[str]) -> None:
    assert refusal("--model", "--", *words) == 2


def one_edit_away(word: str, letters: str = string.ascii_lowercase) -> set[str]:
    parts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    deleted = {a + b[1:] for a, b in parts if b}
    swapped = {a + b[1] + b[0] + b[2:] for a, b in parts if len(b) > 1}
    changed = {a + letter + b[1:] for a, b in parts if b for letter in letters}
    added = {a + letter + b for a, b in parts for letter in letters}
    return (deleted | swapped | changed | added) - {word, ""}


def mistyped(words: tuple[str, ...]) -> Iterator[list[str]]:
    """Each command with a typo in one of its words, alone and with the words that it needs."""
    known = {word for command in COMMANDS for word in command}
    needed = needed_words(words)
    for at, word in enumerate(words):
        for wrong in sorted(one_edit_away(word) - known):
            typed = [*words[:at], wrong, *words[at + 1 :]]
            yield typed
            if needed:
                yield [*typed, *needed]


TYPOS = [typed for words in COMMANDS for typed in mistyped(words)]


@given(st.sampled_from(TYPOS), st.sampled_from([[], ["-d"], ["--output", "json"]]), st.booleans())
@example(["chat", "list"], [], False)
@example(["doctr"], [], False)
@example(["compare".replace("a", ""), "make it faster", "and smaller"], [], False)
def test_a_mistyped_command_is_never_a_request(typed: list[str], options: list[str], is_before: bool) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([*options, *typed] if is_before else [*typed, *options])
    assert ended.value.code == 2


@given(st.text(max_size=6), st.text(max_size=6))
def test_is_one_edit_matches_a_naive_implementation(one: str, other: str) -> None:
    letters = "".join({*one, *other})
    assert is_one_edit(one, other) == (
        one == other or other in one_edit_away(one, letters) or {one, other} <= {"", *letters}
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", "big", "files"],
        ["compress the folder"],
        ["show me the chats"],
        ["chat with the server on port 80 and say what it answers"],
        ["host", "names", "please"],
        ["post", "this", "file", "to", "the", "server"],
        ["uptime"],
        ["status?"],
        ["why"],
        ["ls"],
        ["/etc/fstab", "what", "is", "this?"],
        [""],
        ["Grüße"],
    ],
)
def test_requests_are_not_mistaken_for_mistyped_commands(arguments: list[str]) -> None:
    options = parse(arguments)
    assert (options.command, options.words, options.literal) == ("ask", arguments, False)


@pytest.mark.parametrize(
    ("arguments", "meant", "anyway"),
    [
        (["chat", "list"], ["vmpilot chats list"], "chat list"),
        (["cahts", "lst"], ["vmpilot chats list"], "cahts lst"),
        (["doctr"], ["vmpilot doctor"], "doctr"),
        (["DOCTOR"], ["vmpilot doctor"], "DOCTOR"),
        (["configure"], ["vmpilot config"], "configure"),
        (["tool", "list"], ["vmpilot tools"], "tool list"),
        (["list"], ["vmpilot chats list", "vmpilot backends list", "vmpilot jobs list"], "list"),
        (["list", "chats"], ["vmpilot chats list"], "list chats"),
        (["help"], ["vmpilot --help"], "help"),
        (["help", "chats"], ["vmpilot chats --help"], "help chats"),
        (["version"], ["vmpilot --version"], "version"),
        (["aks", "what is", "it's"], ["vmpilot ask what is it's"], "aks 'what is' 'it'\"'\"'s'"),
        (["doc\x1btor"], ["vmpilot doctor"], "…"),
    ],
)
def test_the_suggestion_for_a_mistyped_command(
    arguments: list[str], meant: list[str], anyway: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(*arguments) == 2
    told = " or ".join(f'"{command}"' for command in meant)
    assert capsys.readouterr().err == (
        f"vmpilot: {arguments[0]!r} is not a command. Did you mean {told}?\n"
        f"To send it as a request: vmpilot ask {anyway}\n"
    )


def test_options_of_the_same_name_accept_the_same_number_of_values() -> None:
    found: dict[str, set[object]] = {}
    for _, parser in leaves(make_parser()):
        for name, action in parser._option_string_actions.items():
            found.setdefault(name, set()).add(action.nargs)
    assert {name for name, counts in found.items() if len(counts) > 1} == {"--json"}


@pytest.mark.parametrize("arguments", [["chat", "list"], ["doctr"], ["-d", "chats", "lst"], ["/compat"], ["/x", "y"]])
def test_a_mistyped_command_costs_nothing_end_to_end(here: Here, arguments: list[str]) -> None:
    with ScriptedServer([]) as server:
        ran = here(*arguments, server=server)
    assert (ran.code, ran.out, len(server.requests)) == (2, "", 0)


@pytest.mark.parametrize("before", [["ask"], ["--"], ["ask", "--"]])
@pytest.mark.parametrize("request_", ["doctr", "/compact", "/compat", " /x  y "])
def test_a_request_that_looks_like_a_command_can_be_sent(here: Here, before: list[str], request_: str) -> None:
    with ScriptedServer([Reply("Fine.")]) as server:
        ran = here("--base-url", server.base_url, "--model", "m", *before, request_)
    assert (ran.code, ran.out) == (0, "Fine.\n")
    assert server.requests[0].messages[1]["content"] == request_


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/compat"], "Unknown command /compat; the only one is /compact."),
        (["/model", "gpt-4o"], "Unknown command /model;"),
        (["/"], None),
        (["/Compact"], "Unknown command /Compact;"),
        (["/compact now"], "/compact takes no text."),
        (["/tmp", "is", "full"], None),
        (["/etc/no-such-file", "is", "missing"], None),
    ],
)
def test_unknown_slash_commands(here: Here, words: list[str], told: str | None) -> None:
    with ScriptedServer([Reply("Fine.")] if told is None else []) as server:
        ran = here(*words, server=server)
    assert ran.code == (0 if told is None else 2)
    assert len(server.requests) == (told is None)
    if told is not None:
        assert told in ran.err


def test_config_show_accepts_the_options_of_a_request(here: Here) -> None:
    ran = here("--mode", "observe", "config", "show", "--max-steps", "3")
    assert 'mode = "observe"  # --mode\n' in ran.out
    assert "max_steps = 3  # --max-steps\n" in ran.out


def test_other_tools_can_walk_the_parser_tree() -> None:
    below = [action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert len(below) == 1
