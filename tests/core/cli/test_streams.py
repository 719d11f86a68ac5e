"""Every command with every kind of broken standard stream: it does the same, without unexpected errors.

The commands run in processes forked from one that has the streams in question since it began, as from a shell.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.core.cli.test_arguments import COMMANDS

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.core.cli.conftest import Screen

Start = Callable[..., "subprocess.Popen[str]"]

ANSWER = "Grüße ✓ 終 \U0001f600 done"
FEW = ("--help", "doctr", "--output", "chats list", "chats export", "config show")
"""The commands for less thorough kinds of streams: one for each way of writing."""

DRIVER = """
import gc, json, os, sqlite3, sys
import sqlalchemy.dialects.sqlite.aiosqlite, vmpilot.app, vmpilot.cli.commands, vmpilot.cli._chats, vmpilot.cli._request
from vmpilot.cli import main

folder = sys.argv[1]
gc.freeze()  # or each child would go through all of the modules once more when it ends
for number, arguments in enumerate(json.loads(sys.argv[2])):
    child = os.fork()
    if child == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            if name in sys.argv[3:]:
                file = os.open(f"{folder}/{name}-{number}", os.O_WRONLY | os.O_CREAT)
                os.dup2(file, descriptor)
                os.close(file)
        sys.exit(main([os.fsdecode(argument.encode()) for argument in arguments]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file = os.open(f"{folder}/codes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{code}\\n".encode())
    os.close(file)
"""


@dataclass(frozen=True)
class Kind:
    """Shell redirections; None means a separate file per command, an empty one a pipe whose reader is closed."""

    out: str | None = None
    err: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    fails: str | None = None
    """Why standard output cannot be written to."""
    is_thorough: bool = False


POSIX = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
KINDS = {
    "stdout closed": Kind(out=">&-"),
    "stdout full": Kind(
        out=">/dev/full", fails="standard output (/dev/full): No space left on device", is_thorough=True
    ),
    "stdout read-only": Kind(out="1</dev/null", fails="standard output (/dev/null): Bad file descriptor"),
    "stdout without a reader": Kind(out="", fails=""),
    "stdout strict Latin-1": Kind(variables={"PYTHONIOENCODING": "latin-1:strict"}),
    "POSIX locale": Kind(variables=POSIX),
    "stderr closed": Kind(err="2>&-"),
    "stderr full": Kind(err="2>/dev/full"),
    "all closed": Kind(out=">&-", err="2>&-", stdin="<&-", is_thorough=True),
}


@dataclass(frozen=True)
class Result:
    out: bytes
    err: str
    code: int


class Runner:
    """Runs all commands with one kind of streams, each time on a copy of the same log."""

    def __init__(self, folder: Path, variables: Mapping[str, str], commands: Sequence[Sequence[str]]) -> None:
        self._folder = folder
        self._variables = variables
        self.commands = commands

    def run(self, name: str, kind: Kind, commands: Sequence[Sequence[str]]) -> list[Result]:
        folder = self._folder / name.replace(" ", "-")
        shutil.copytree(self._folder / "data", folder / "data")
        own = [stream for stream, redirection in (("out", kind.out), ("err", kind.err)) if redirection is None]
        reading, writing = os.pipe()
        os.close(reading)
        script = f'exec {kind.out or ""} {kind.err or ""} {kind.stdin or "</dev/null"}; exec "$@"'
        subprocess.run(
            ["bash", "-c", script, "bash", sys.executable, "-c", DRIVER, folder, json.dumps(commands), *own],
            env={**self._variables, "VMPILOT_DATA_DIR": str(folder / "data"), **kind.variables},
            cwd=self._folder,
            stdout=writing if kind.out == "" else None,
            stderr=writing if kind.err == "" else None,
            check=True,
        )
        os.close(writing)
        codes = (folder / "codes").read_text().split()
        return [
            Result(_content(folder / f"out-{at}"), _content(folder / f"err-{at}").decode("utf-8", "replace"), int(code))
            for at, code in enumerate(codes)
        ]


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


@pytest.fixture(scope="module")
def runner(
    tmp_path_factory: pytest.TempPathFactory, sample_folders: Callable[..., tuple[Path, ...]]
) -> Iterator[Runner]:
    """A log with one conversation, its recording, and the commands for them."""
    folder = tmp_path_factory.mktemp("streams")
    with ScriptedServer([Reply(ANSWER)], repeat_last=True) as server:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(sample_folders("bare")[0]),
            **{f"VMPILOT_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "CACHE")},
            "VMPILOT_BACKEND": "bare",
            "VMPILOT_BASE_URL": server.base_url,
            "VMPILOT_MODEL": "m",
            "VMPILOT_API_KEY": "sk-streams-0123456789",
        }
        made = subprocess.run(
            [sys.executable, "-m", "vmpilot", "--record", "recording", "--output", "json", "Grüß die Welt"],
            env=variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        words = {
            "ID": json.loads(made.stdout)["conversation_id"],
            "NAME": "bare",
            "FILE": "recording",
            "WORD": "Welt",
            "TITLE": "Späße",
            "TASK": "Grüß",
        }
        yield Runner(folder, variables, _commands(words))


def _commands(words: Mapping[str, str]) -> list[list[str]]:
    found = [
        ["--help"],
        ["chats", "--help"],
        ["--version"],
        ["doctr"],
        ["--no-such-option-é"],
        ["-r", "none", "x"],
        *(["--output", form, "Grüß"] for form in ("text", "json", "jsonl")),
        ["-v", "-d", "Grüß"],
        ["chats", "list", "--output", "json"],
        ["chats", "export", "--format", "md", words["ID"]],
        ["chats", "export", "--format", "html", words["ID"]],
    ]
    needed = {
        "show": ["ID"],
        "search": ["WORD"],
        "export": ["ID"],
        "import": ["FILE"],
        "fork": ["ID"],
        "rename": ["ID", "TITLE"],
        "delete": ["ID"],
        "check": ["NAME"],
        "new": ["NAME"],
        "replay": ["FILE"],
        "compare": ["TASK"],
        "ask": ["TASK"],
    }
    for command in COMMANDS:
        found.append([*command, *(words[name] for name in needed.get(command[-1], []))])
        if command == ("backends", "check"):
            found[-1] += ["--level", "usage"]
        if command == ("compare",):
            found[-1] += ["--backends", "bare", "--models", "m"]
    return found


@pytest.fixture(scope="module")
def usual(runner: Runner) -> list[Result]:
    """The results of the commands with files."""
    return runner.run("usual", Kind(), runner.commands)


@pytest.mark.parametrize("name", KINDS)
def test_every_command_does_the_same(runner: Runner, usual: Sequence[Result], name: str) -> None:
    kind = KINDS[name]
    chosen = [
        (command, result)
        for command, result in zip(runner.commands, usual, strict=True)
        if kind.is_thorough or " ".join(command).startswith(FEW)
    ]
    results = runner.run(name, kind, [command for command, _ in chosen])
    for (command, expected), result in zip(chosen, results, strict=True):
        assert not re.search("Traceback|[Uu]nexpected |Exception ignored", result.err), (command, result.err)
        if kind.fails is not None and expected.out:
            assert result.code == 1, (command, result)
            assert ("Cannot write to" in result.err) == bool(kind.fails), (command, result.err)
            assert not kind.fails or result.err.endswith(f"vmpilot: Cannot write to {kind.fails}\n"), command
        else:
            assert result.code == expected.code, (command, result)
        if kind.out is None:
            assert bool(result.out) == bool(expected.out), (command, result)


def test_the_commands_with_working_streams(runner: Runner, usual: Sequence[Result]) -> None:
    assert len(usual) == len(runner.commands)
    wrong = [command for command, result in zip(runner.commands, usual, strict=True) if result.code not in {0, 1, 2}]
    assert wrong == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16"])
def test_characters_are_replaced_in_text_and_escaped_in_json(program: Start, encoding: str) -> None:
    answers = []
    variables = {"PYTHONIOENCODING": encoding}
    for form in ("text", "json", "jsonl"):
        with ScriptedServer([Reply(ANSWER)]) as server:
            process = program(
                "--output",
                form,
                "Grüß",
                server=server,
                encoding=encoding,
                more_variables=variables,
            )
            out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        answers.append(out)
    text, whole, lines = answers
    assert text == ANSWER.encode(encoding, "replace").decode(encoding) + "\n"
    assert json.loads(whole)["answer"] == ANSWER
    events = [json.loads(line) for line in lines.splitlines()]
    assert "".join(event["text"] for event in events if event["type"] == "text_delta") == ANSWER


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_non_blocking_pipe_gets_everything(program: Start, unbuffered: str) -> None:
    """Another process can make a shared pipe non-blocking; a full pipe must not lose output or end the program."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    long = "word " * 100_000
    with ScriptedServer([Reply(long, chunks=1)]) as server, os.fdopen(reading, encoding="utf-8") as pipe:
        process = program("x", server=server, stdout=writing, more_variables={"PYTHONUNBUFFERED": unbuffered})
        os.close(writing)
        shown = pipe.read()
        _, err = process.communicate()
    assert (process.returncode, shown, err) == (0, f"{long}\n", "")


@pytest.mark.parametrize("redirection", [">&-", "<&-", ">&- <&-"])
def test_a_question_is_asked_even_if_other_streams_are_closed(
    screen: Callable[..., Screen], tmp_path: Path, redirection: str
) -> None:
    calls = (ScriptedCall("shell", {"command": "env touch made"}),)
    with ScriptedServer([Reply(tool_calls=calls), Reply("Made.")]) as server:
        shown = screen("x", server=server, script=f'"$@" {redirection}')
        shown.wait_for("Run it? [y/N")
        shown.type("y\n")
        assert shown.end() == 0
    assert (tmp_path / "made").exists()
    assert ("Made." in shown.text) == (">" not in redirection)
