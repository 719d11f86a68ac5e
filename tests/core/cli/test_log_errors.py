"""Errors of `vmpilot chats`, `cost` and `audit`: one sentence, the right exit code, and nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.postgres_server import PASSWORD, PostgresServer, make_server, postgres

from .conftest import Here

__all__ = ["make_server", "postgres"]

ALL = (
    ("chats", "list"),
    ("chats", "show", "a"),
    ("chats", "search", "a"),
    ("chats", "export", "a"),
    ("chats", "fork", "a"),
    ("chats", "rename", "a", "b"),
    ("chats", "delete", "a"),
    ("cost",),
    ("audit",),
    ("-c", "go on"),
)
OF_ONE = (
    ("chats", "show", "ID"),
    ("chats", "export", "ID", "--format", "md"),
    ("chats", "fork", "ID"),
    ("chats", "rename", "ID", "b"),
    ("chats", "delete", "ID"),
    ("audit", "ID"),
    ("-r", "ID", "go on"),
    ("-r", "ID", "--fork", "go on"),
)
EVENT: dict[str, Any] = {"type": "notice", "text": "x"}
DOCUMENT: dict[str, Any] = {
    "vmpilot_conversation": 1,
    "wire_version": 1,
    "id": "abc",
    "title": "t",
    "started": 1.0,
    "touched": 1.0,
    "events": [EVENT],
}


def told(here: Here, *arguments: str, code: int) -> str:
    """The one sentence on standard error."""
    ran = here(*arguments)
    assert (ran.code, ran.out) == (code, ""), ran
    assert ran.err.startswith("vmpilot: ")
    assert ran.err.count("\n") == 1
    return ran.err.removeprefix("vmpilot: ").rstrip("\n")


@pytest.fixture
def twins(here: Here, tmp_path: Path) -> str:
    """A log with two conversations whose ids share a prefix."""
    for id_ in ("abc1", "abc2"):
        file = tmp_path / "chat.json"
        file.write_text(json.dumps({**DOCUMENT, "id": id_}))
        assert here("chats", "import", str(file)).code == 0
    return here("chats", "list").out


@pytest.mark.parametrize("arguments", OF_ONE)
def test_unknown_and_ambiguous_ids(here: Here, twins: str, arguments: tuple[str, ...]) -> None:
    def with_id(id_: str) -> list[str]:
        return [id_ if word == "ID" else word for word in arguments]

    for wrong in ("zzz", "ABC", "abc%", "", "abc12"):
        assert told(here, *with_id(wrong), code=2) == f'There is no conversation "{wrong}". See `vmpilot chats list`.'
    several = 'Several conversations begin with "abc": abc1, abc2. Use a longer prefix.'
    assert told(here, *with_id("abc"), code=2) == several
    assert here("chats", "list").out == twins


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "invalid JSON"),
        (b"\xff\xfe\x00", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b"[]", "Create one with `vmpilot chats export"),
        (b'{"messages": []}', "Create one with `vmpilot chats export"),
        ({"vmpilot_conversation": 2}, "newer VMPilot. Upgrade vmpilot-core"),
        ({"wire_version": 99}, "newer VMPilot. Upgrade vmpilot-core"),
        ({"events": []}, "empty"),
        ({"events": [{"type": "from_the_future"}]}, "is damaged: "),
        ({"events": [{**EVENT, "text": 5}]}, "is damaged: "),
        ({"title": None}, "is damaged: "),
        ({"started": "yesterday"}, "is damaged: "),
    ],
)
def test_an_invalid_import(here: Here, twins: str, tmp_path: Path, content: Any, said: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps({**DOCUMENT, **content}).encode())
    assert said in told(here, "chats", "import", str(file), code=2)
    assert here("chats", "list").out == twins


def test_a_truncated_import(here: Here, twins: str, tmp_path: Path) -> None:
    whole = here("chats", "export", "abc1").out
    file = tmp_path / "cut.json"
    for length in range(1, len(whole) - 3, 40):
        file.write_text(whole[:length])
        assert "invalid JSON" in told(here, "chats", "import", str(file), code=2)
    assert here("chats", "list").out == twins


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/no/such/file", "Cannot read /no/such/file: No such file or directory"),
        ("/tmp", "Cannot read /tmp: Is a directory"),
        ("/dev/zero", "/dev/zero is larger than 256 MiB, the limit for an import"),
    ],
)
def test_an_import_that_cannot_be_read(here: Here, twins: str, file: str, said: str) -> None:
    assert told(here, "chats", "import", file, code=2) == said
    assert here("chats", "list").out == twins


@pytest.mark.parametrize("arguments", ALL)
def test_a_missing_database(here: Here, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    here.monkeypatch.setenv("VMPILOT_DATABASE_URL", f"postgresql://ada:{PASSWORD}@127.0.0.1:1/log")
    said = told(here, *arguments, code=1)
    assert said.startswith("The database log on 127.0.0.1:1 cannot be used: ")
    assert said.endswith(". Check that it is running and accepts you, then try again.")
    assert PASSWORD not in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [("chats", "list"), ("ask", "hello")])
def test_a_wrong_password(here: Here, postgres: PostgresServer, arguments: tuple[str, ...]) -> None:
    wrong = f"wrong-{PASSWORD}"
    here.monkeypatch.setenv("VMPILOT_DATABASE_URL", postgres.url("postgres").replace(PASSWORD, wrong))
    said = told(here, *arguments, code=1)
    assert 'password authentication failed for user "vmpilot"' in said
    assert PASSWORD not in said


@pytest.mark.parametrize("url", ["mysql://ada:never-shown@host/log", "sqlite:////tmp/x.db", "nonsense"])
def test_another_kind_of_database(here: Here, url: str) -> None:
    here.monkeypatch.setenv("VMPILOT_DATABASE_URL", url)
    for arguments in (("chats", "list"), ("hello",)):
        said = told(here, *arguments, code=2)
        assert said.startswith("Invalid database_url. Expected postgresql://user:password@host/database")
        assert PASSWORD not in said


def test_a_read_only_home(here: Here) -> None:
    here.monkeypatch.setenv("VMPILOT_DATA_DIR", "/proc/vmpilot")
    for arguments in (("hello",), ("chats", "list"), ("cost",)):
        said = told(here, *arguments, code=2)
        assert said.startswith("Cannot write conversations to /proc/vmpilot/conversations.db: ")
        assert said.endswith(". Make it writable, or set VMPILOT_DATA_DIR.")


Start = Callable[..., "subprocess.Popen[str]"]

FULL = """
mount -t tmpfs -o size=700k none "$1" || exit 99
mkdir -m 700 "$1/data" && export VMPILOT_DATA_DIR=$1/data
python=$2
"$python" -m vmpilot chats import "$3" && "$python" -m vmpilot chats list && echo ---
"$python" -m vmpilot chats import "$4"; echo "code $?"
"$python" -m vmpilot chats list
"""


def test_a_disk_that_fills_up_during_an_import(variables: dict[str, str], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    small, large, place = tmp_path / "small.json", tmp_path / "large.json", tmp_path / "small-disk"
    place.mkdir()
    small.write_text(json.dumps({**DOCUMENT, "id": "small"}))
    events = [{**EVENT, "text": f"{number}" + "x" * 2000} for number in range(1000)]
    large.write_text(json.dumps({**DOCUMENT, "id": "large", "events": events}))
    command = ["unshare", "--mount", "bash", "-c", FULL, "bash"]
    ran = subprocess.run(
        [*command, place, sys.executable, small, large], env=variables, capture_output=True, text=True, check=False
    )
    if ran.returncode == 99:
        pytest.skip("mounting is not permitted here")
    before, _, after = ran.stdout.partition("---\n")
    assert "code 1\n" in after
    assert ran.stderr.startswith("vmpilot: The conversation log ")
    assert ran.stderr.endswith(". Free some space or repair the file, then try again.\n")
    assert ran.stderr.count("\n") == 1
    assert after.endswith(before.splitlines(keepends=True)[-1])


def test_a_closed_pipe_is_not_an_error(program: Start, variables: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "long.json"
    file.write_text(json.dumps({**DOCUMENT, "events": [{"type": "turn_ended", "reason": "failed", "time": 1.0}] * 3}))
    importing = program("chats", "import", str(file))
    importing.communicate()
    assert importing.returncode == 0
    for arguments in (["chats", "list"], ["chats", "export", "abc"], ["chats", "show", "abc"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = program(*arguments, stdout=writing)
        os.close(writing)
        assert process.communicate()[1] == ""
        assert process.returncode == 1


def test_every_list_can_be_json(here: Here, twins: str) -> None:
    for arguments in (["chats", "list"], ["chats", "search", "x"], ["cost"], ["audit"], ["audit", "abc1"]):
        ran = here(*arguments, "--output", "json")
        assert (ran.code, ran.err) == (0, "")
        assert isinstance(json.loads(ran.out), list)
    for arguments in (
        ["chats", "show", "abc1"],
        ["chats", "export", "abc1"],
        ["chats", "export", "abc1", "--format", "html"],
        ["chats", "fork", "abc1"],
        ["chats", "rename", "abc1", "new"],
        ["chats", "delete", "--yes", "abc1"],
    ):
        ran = here(*arguments, "--output", "json")
        assert (ran.code, ran.err) == (0, "")
        assert isinstance(json.loads(ran.out), dict)


def test_an_empty_list_is_reported(here: Here) -> None:
    for arguments, said in (
        (["chats", "list"], "No conversations yet."),
        (["chats", "search", "x"], "No matches."),
        (["cost"], "No turns yet."),
        (["audit"], "No commands yet."),
    ):
        ran = here(*arguments)
        assert (ran.code, ran.out, ran.err) == (0, "", f"vmpilot: {said}\n")
