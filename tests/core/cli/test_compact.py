"""`/compact` on the command line, and how compaction appears on the screen and in the transcript."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vmpilot.contract import HistoryCompacted, TurnEnded, TurnStarted, decode_event
from vmpilot.testing import Reply, ScriptedServer

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here

LONG = Reply("One. " + "x" * 9_000, chunks=1)
SUMMARY = Reply("The user asked for one.")


def asks(here: Here, server: ScriptedServer) -> None:
    for words in (["1?"], ["-c", "2?"]):
        assert here(*words, server=server).code == 0


@pytest.mark.parametrize(("words", "stdin"), [(["/compact"], None), ([" /compact "], None), ([], "/compact\n")])
def test_compaction_reports_its_result(here: Here, words: list[str], stdin: str | None) -> None:
    with ScriptedServer([LONG, Reply("Two."), SUMMARY, Reply("Three.")]) as server:
        asks(here, server)
        ran = here("-c", *words, server=server, stdin=stdin)
        here("-c", "3?", server=server)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("(the conversation so far was summarized: ")
    assert ran.err.endswith(" tokens)\n")
    assert [message["content"] for message in server.requests[-1].messages[2:]] == [
        "The user asked for one.",
        "2?",
        "Two.",
        "3?",
    ]


def test_compacting_twice_has_nothing_to_do(here: Here) -> None:
    with ScriptedServer([LONG, Reply("Two."), SUMMARY]) as server:
        asks(here, server)
        here("-c", "/compact", server=server)
        ran = here("-c", "/compact", server=server)
    assert (ran.code, ran.out) == (0, "")
    assert "Nothing to compact" in ran.err


@pytest.mark.parametrize("words", [["/compact"], ["-c", "/compact"], ["-r", "abc", "/compact"]])
def test_without_a_conversation_it_is_a_usage_error(here: Here, words: list[str]) -> None:
    with ScriptedServer([]) as server:
        ran = here(*words, server=server)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert "conversation" in ran.err


def test_text_after_the_command_makes_it_a_request(here: Here) -> None:
    with ScriptedServer([Reply("It compacts.")]) as server:
        ran = here("what does /compact do?", server=server)
    assert (ran.code, ran.out) == (0, "It compacts.\n")


def test_programs_get_the_event(here: Here) -> None:
    with ScriptedServer([LONG, Reply("Two."), SUMMARY]) as server:
        asks(here, server)
        ran = here("-c", "--output", "jsonl", "/compact", server=server)
    started, compacted, ended = map(decode_event, ran.out.splitlines())
    assert isinstance(started, TurnStarted)
    assert isinstance(compacted, HistoryCompacted)
    assert isinstance(ended, TurnEnded)
    assert compacted.tokens_before > compacted.tokens_after > 0
    assert (compacted.summary, ended.exit_code) == (SUMMARY.text, 0)


def test_json_output_has_the_numbers(here: Here) -> None:
    with ScriptedServer([LONG, Reply("Two."), SUMMARY]) as server:
        asks(here, server)
        ran = here("-c", "--output", "json", "/compact", server=server)
    told = json.loads(ran.out)
    assert (ran.code, told["reason"], set(told["compacted"])) == (0, "answered", {"before", "after"})
    assert told["compacted"]["before"] > told["compacted"]["after"] > 0


def test_the_help_mentions_it(here: Here) -> None:
    assert "vmpilot -c /compact" in here("--help").out


def test_the_views_of_the_log_keep_all_text(here: Here) -> None:
    with ScriptedServer([LONG, Reply("Two."), SUMMARY]) as server:
        asks(here, server)
        here("-c", "/compact", server=server)
    (chat,) = json.loads(here("chats", "list", "--output", "json").out)
    shown = here("chats", "show", chat["id"]).out
    headings = [line for line in shown.splitlines() if line.startswith("## ")]
    assert headings == ["## User", "## Assistant", "## User", "## Assistant", "## Compaction"]
    assert "x" * 9_000 in shown
    assert "(the conversation so far was summarized: " in shown
    assert SUMMARY.text in shown
    assert len(here("chats", "search", "xxx").out.splitlines()) == 1
    exported = here("chats", "export", chat["id"], "--format", "json").out
    assert [event["type"] for event in json.loads(exported)["events"]].count("history_compacted") == 1
    assert "300 tokens in" in here("cost").out.replace(",", "")


def test_an_imported_conversation_stays_compacted(here: Here) -> None:
    with ScriptedServer([LONG, Reply("Two."), SUMMARY, Reply("Three.")]) as server:
        asks(here, server)
        here("-c", "/compact", server=server)
        (chat,) = json.loads(here("chats", "list", "--output", "json").out)
        document = here("chats", "export", chat["id"], "--format", "json").out
        here("chats", "delete", "--yes", chat["id"])
        (here.folder / "chat.json").write_text(document)
        here("chats", "import", str(here.folder / "chat.json"))
        here("-c", "3?", server=server)
    assert server.requests[-1].messages[2]["content"] == SUMMARY.text
