"""`vmpilot chats`, `vmpilot cost` and `vmpilot audit`, with real conversations."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer

from .conftest import Here, Screen

Start = Callable[..., Screen]


@pytest.fixture
def chat(here: Here) -> str:
    """The id of a conversation in which a command was run."""
    call = ScriptedCall("shell", {"command": "echo zebra; cd /"})
    with ScriptedServer([Reply("I look.", tool_calls=(call,)), Reply("One wombat.")]) as server:
        ran = here("--mode", "full", "--output", "json", "find the animals", server=server)
    conversation_id: str = json.loads(ran.out)["conversation_id"]
    return conversation_id


def listed(here: Here, *arguments: str) -> Any:
    ran = here(*arguments, "--output", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_the_title_comes_from_the_first_request(here: Here, chat: str) -> None:
    assert "  1 turn  find the animals\n" in here("chats", "list").out
    assert [(row["id"], row["title"]) for row in listed(here, "chats", "list")] == [(chat, "find the animals")]


def test_show_is_a_transcript(here: Here, chat: str) -> None:
    shown = here("chats", "show", chat[:5]).out
    parts = ["# find the animals", "## User", "$ echo zebra; cd /", "zebra\n[exit code 0", "One wombat."]
    assert [part in shown for part in parts] == [True] * len(parts)
    assert listed(here, "chats", "show", chat)["events"][0]["type"] == "turn_started"


@pytest.mark.parametrize(("words", "speakers"), [("wombat", ["assistant"]), ("anim", ["user"]), ("nothing", [])])
def test_search(here: Here, chat: str, words: str, speakers: list[str]) -> None:
    assert [hit["speaker"] for hit in listed(here, "chats", "search", words)] == speakers


def test_an_export_can_be_imported(here: Here, chat: str, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(here("chats", "export", chat).out)
    again = listed(here, "chats", "import", str(file))["id"]
    assert again != chat
    shown = [listed(here, "chats", "show", id_)["events"] for id_ in (chat, again)]
    assert shown[0][0].pop("terms")["model"] == "m"
    assert shown[1][0].pop("terms") is None  # nothing from another machine decides which model is asked next
    assert shown[0] == shown[1]


@pytest.mark.parametrize(("kind", "beginning"), [("md", "# find the animals"), ("html", "<!doctype html>")])
def test_an_export_in_a_readable_format(here: Here, chat: str, kind: str, beginning: str) -> None:
    exported = here("chats", "export", "--format", kind, chat).out
    assert exported.startswith(beginning)
    assert "One wombat." in exported


def test_html_escapes_markup(here: Here) -> None:
    with ScriptedServer([Reply("<script>alert(1)</script>")]) as server:
        ran = here("--output", "json", "say <b>", server=server)
    exported = here("chats", "export", "--format", "html", json.loads(ran.out)["conversation_id"]).out
    assert "<script>" not in exported
    assert "<b>" not in exported


def test_a_fork_is_independent(here: Here, chat: str) -> None:
    with ScriptedServer([Reply("Another.")]) as server:
        ran = here("-r", chat, "--fork", "--output", "json", "and?", server=server)
        assert [message["content"] for message in server.requests[0].messages[-2:]] == ["One wombat.", "and?"]
    fork = json.loads(ran.out)["conversation_id"]
    assert fork != chat
    assert {row["id"]: row["turns"] for row in listed(here, "chats", "list")} == {fork: 2, chat: 1}
    assert listed(here, "chats", "fork", "--at", "1", fork)["turns"] == 1


def test_rename_and_delete(here: Here, chat: str) -> None:
    assert listed(here, "chats", "rename", chat, "The", "house")["title"] == "The house"
    refused = here("chats", "delete", chat)
    assert (refused.code, refused.out) == (2, "")
    assert "no terminal is attached. Add --yes" in refused.err
    assert len(listed(here, "chats", "list")) == 1
    assert "Deleted" in here("chats", "delete", "--yes", chat).out
    assert listed(here, "chats", "list") == []


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 4, 1), ("", 4, 1), ("y", 0, 0), ("YES", 0, 0)])
def test_delete_asks_first(here: Here, chat: str, screen: Start, answer: str, *, code: int, left: int) -> None:
    with ScriptedServer([]) as server:
        shown = screen("chats", "delete", chat, server=server, script='exec "${@:1:6}"')
        shown.wait_for('Permanently delete "find the animals" (1 turn)? [y/N]')
        shown.type(f"{answer}\n")
        assert shown.end() == code
    assert len(listed(here, "chats", "list")) == left


def test_first_requests_that_failed_are_not_listed(here: Here) -> None:
    with ScriptedServer([HttpError(401), HttpError(401), Reply("Hello."), HttpError(401)]) as server:
        assert here("hi", server=server).code == 1
        assert here("-c", "hi again", server=server).code == 1
        assert listed(here, "chats", "list") == []
        (failed,) = listed(here, "chats", "list", "--all")
        assert (failed["title"], failed["turns"]) == ("hi", 2)
        assert here("-c", "at last", server=server).code == 0
        assert here("-c", "and?", server=server).code == 1
    assert [chat["id"] for chat in listed(here, "chats", "list")] == [failed["id"]]


def test_a_server_that_is_down_leaves_no_conversation_in_the_list(here: Here) -> None:
    assert here("--base-url", "http://127.0.0.1:9/v1", "--model", "m", "hi").code == 1
    assert listed(here, "chats", "list") == []


def test_denied_calls_are_in_the_audit_and_in_the_transcript(here: Here, tmp_path: Path) -> None:
    calls = tuple(ScriptedCall("shell", {"command": command}) for command in ("env touch made", "ls", "nothing\0"))
    with ScriptedServer([Reply(tool_calls=(*calls, ScriptedCall("nonsense", {}))), Reply("No.")]) as server:
        assert here("--mode", "observe", "touch it", server=server).code == 4
    denied, *others = [row for row in listed(here, "audit") if row["denied_by"]]
    assert (denied["command"], denied["allowed_by"], others) == ("env touch made", "", [])
    assert denied["denied_by"].endswith("; observe mode only allows plain reading")
    assert denied["folder"] == str(tmp_path / "work")
    assert re.search(r"denied +Not known.* env touch made\n", here("audit").out)
    shown = here("chats", "show", listed(here, "chats", "list")[0]["id"]).out
    assert "## Denied\n\n```\n$ env touch made\n```\n\n## Reason\n\nDenied: Not known to be read-only" in shown
    assert "## Not run\n\n```\nnonsense {}\n```" in shown
    assert "Do not try to get around it" not in shown
    assert [hit["speaker"] for hit in listed(here, "chats", "search", "made")] == ["tool"]


def test_an_interrupted_command_is_not_shown_as_failed(
    here: Here, program: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    mark = tmp_path / "started"
    call = ScriptedCall("shell", {"command": f"touch {mark}; sleep 1000"})
    with ScriptedServer([Reply(tool_calls=(call,))]) as server:
        running = program("--mode", "full", "sleep", server=server)
        while not mark.exists():
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        assert "interrupted" in running.communicate()[1]
    assert running.returncode == 130
    assert re.search(r"  interrupted  Full mode  touch ", here("audit").out)
    shown = here("chats", "show", listed(here, "chats", "list")[0]["id"]).out
    assert "## Interrupted" in shown
    assert "failed" not in shown


def test_unknown_prices_are_shown(here: Here, chat: str) -> None:
    assert "  price unknown  1 turn  200 tokens in, 40 out\n" in here("cost").out
    assert [(row["key"], row["unpriced"]) for row in listed(here, "cost", "--by", "model")] == [("m", 1)]


def test_the_audit_shows_time_folder_command_and_decision(here: Here, chat: str, tmp_path: Path) -> None:
    (command,) = listed(here, "audit", chat)
    assert (command["command"], command["folder"]) == ("echo zebra; cd /", str(tmp_path / "work"))
    assert (command["exit_code"], command["allowed_by"]) == (0, "Full mode")
    assert "exit 0" in here("audit").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("chats",), "ACTION"),
        (("chats", "show", "zzz"), 'no conversation "zzz"'),
        (("chats", "import", "/nowhere"), "/nowhere"),
        (("chats", "import", "/etc/passwd"), "Not an exported conversation"),
        (("chats", "list", "-n", "0"), "--limit must be at least 1"),
        (("--fork", "go on"), "-c"),
    ],
)
def test_invalid_usage_exits_with_2(here: Here, arguments: tuple[str, ...], told: str) -> None:
    ran = here(*arguments)
    assert ran.code == 2
    assert told in ran.err
