"""A call behind the cache, on disk and in Redis: what is replayed, stored and reported."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from vmpilot.cache import Origin, TurnCache
from vmpilot.cache._replay import decode_answer
from vmpilot.cache._turn_cache import FROM_CACHE
from vmpilot.contract import (
    AssistantMessage,
    MessageCompleted,
    ModelCall,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

from .conftest import Model, OpenCache, Turns, key_of, make_call

LONG = "Words and words. " * 100
CALLS = (ToolCall("c1", "shell", json.dumps({"command": "x" * 900})), ToolCall("c2", "jobs", "{}"))


async def test_a_repeated_call_does_not_ask_the_model(turns: Turns) -> None:
    assert await turns.ask() == [TextDelta("Because."), turns.model.answer]
    replayed = MessageCompleted(AssistantMessage("Because."), Usage())
    assert await turns.ask() == [Notice(FROM_CACHE), TextDelta("Because."), replayed]
    assert len(turns.model.asked) == 1


async def test_another_process_finds_the_entry(turns: Turns, open_one: OpenCache) -> None:
    await turns.ask()
    await turns.cache.close()
    other = Turns(open_one())
    assert (await other.ask())[0] == Notice(FROM_CACHE)
    assert other.model.asked == []


async def test_a_replay_is_a_stream_that_repeats_the_message(turns: Turns) -> None:
    message = AssistantMessage(LONG, "Hm. " * 300, CALLS, "tool_calls", "p", {"sign": ["\ud800\0é"]})
    turns.model = Model(MessageCompleted(message, Usage(5, 6)))
    await turns.ask()
    _notice, *deltas, last = await turns.ask()
    assert last == MessageCompleted(message, Usage())
    assert len(deltas) > 10
    assert "".join(event.text for event in deltas if isinstance(event, TextDelta)) == message.text
    assert "".join(event.text for event in deltas if isinstance(event, ReasoningDelta)) == message.reasoning
    pieces = [event for event in deltas if isinstance(event, ToolCallDelta)]
    assert [event.name for event in pieces if event.name] == ["shell", "jobs"]
    for at, call in enumerate(CALLS):
        assert "".join(event.arguments for event in pieces if event.position == at) == call.arguments


@pytest.mark.parametrize(
    "message",
    [
        AssistantMessage("So far", finish="length"),
        AssistantMessage("So far", finish="cut"),
        AssistantMessage("No.", finish="refusal"),
        AssistantMessage("No.", finish="content_filter"),
        AssistantMessage("  \n"),
        AssistantMessage("", "Only thoughts."),
        AssistantMessage("I look.", finish="tool_calls"),
        AssistantMessage("", "", (ToolCall("c", "shell", '{"command": "rm -rf /srv'),), "tool_calls"),
        AssistantMessage("", "", (ToolCall("c", "shell", "[1]"),), "tool_calls"),
        AssistantMessage("", "", (ToolCall("c", "", "{}"),), "tool_calls"),
        AssistantMessage("", "", (ToolCall("c", "shell", "[" * 100_000),), "tool_calls"),
    ],
    ids=lambda message: f"{message.finish}-{message.text.strip()}-{len(message.tool_calls)}",
)
async def test_an_incomplete_answer_is_not_stored(turns: Turns, message: AssistantMessage) -> None:
    turns.model = Model(MessageCompleted(message), before=())
    assert await turns.ask() == await turns.ask() == [turns.model.answer]
    assert (await turns.cache.stats()).entries == 0


async def test_a_failed_call_is_not_stored(turns: Turns) -> None:
    class Failing(Model):
        async def stream_once(self, call: ModelCall) -> Any:
            self.asked.append(call)
            yield TextDelta("Be")
            raise ConnectionError

    turns.model = Failing()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await turns.ask()
    assert len(turns.model.asked) == 2


async def test_events_before_the_answer_are_passed_on_but_not_stored(turns: Turns) -> None:
    retrying = Retrying(2, 0.0, "lost", discard=True)
    turns.model = Model(before=(TextDelta("Bec"), retrying, TextDelta("Because.")))
    assert await turns.ask() == [TextDelta("Bec"), retrying, TextDelta("Because."), turns.model.answer]
    assert retrying not in await turns.ask()


@pytest.mark.parametrize(
    ("settings", "options", "kept"),
    [
        ({"temperature": 0}, {}, True),
        ({"temperature": 0.2}, {}, False),
        ({"temperature": None}, {}, False),
        ({"omitted": ("temperature",)}, {}, False),
        ({"omitted": ("stream_options",)}, {}, True),
        ({"temperature": 0.2}, {"any_temperature": True}, True),
        ({"temperature": None}, {"any_temperature": True}, True),
    ],
)
async def test_the_temperature_decides_whether_an_answer_is_cached(
    turns: Turns, settings: dict[str, Any], options: dict[str, Any], kept: bool
) -> None:
    for _ in range(2):
        await turns.ask(make_call(**settings), **options)
    assert len(turns.model.asked) == (1 if kept else 2)


async def test_an_answer_generated_without_the_temperature_is_not_stored(turns: Turns) -> None:
    call = make_call()
    sent = make_call(omitted=("temperature",)).settings
    for any_temperature in (False, True):
        turn = TurnCache(turns.cache, Origin("engine 1"), any_temperature=any_temperature)
        await turns.go_on(turn, call, sent=sent)
        assert (await turns.cache.stats()).entries == int(any_temperature)


async def test_another_account_does_not_find_the_entry(turns: Turns) -> None:
    await turns.ask(origin=Origin("engine 1", variables={"OPENAI_API_KEY": "a"}))
    own = make_call(base_url=None, api_key=None)
    for account in ("a", "b"):
        await turns.ask(own, origin=Origin("engine 1", variables={"OPENAI_API_KEY": account}))
    assert len(turns.model.asked) == 3


async def test_a_turn_reports_once_that_it_reuses_answers(turns: Turns) -> None:
    for text in ("One?", "Two?"):
        await turns.ask(make_call(text))
    turn = TurnCache(turns.cache, Origin("engine 1"))
    events = [event for text in ("One?", "Two?") for event in await turns.go_on(turn, make_call(text))]
    assert [event.text for event in events if isinstance(event, Notice)] == [FROM_CACHE]
    assert len(turns.model.asked) == 2


@pytest.mark.parametrize("damage", ["foreign", "cut", "other words", "no answer"])
async def test_a_broken_entry_is_ignored_and_overwritten(turns: Turns, damage: str) -> None:
    await turns.ask()
    key = key_of(make_call())
    whole = await turns.cache.get(key.name)
    assert whole is not None
    broken = {
        "foreign": b"\x80\x04\x95 a pickle of somebody's",
        "cut": whole[:-1],
        "other words": whole.replace(b"Because.", b"Trust me"),
        "no answer": key.seal(b'{"type":"notice","text":"x"}'),
    }
    await turns.cache.put(key.name, broken[damage])
    assert await turns.ask() == [TextDelta("Because."), turns.model.answer]
    assert await turns.cache.get(key.name) == whole
    assert len(turns.model.asked) == 2


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[" * 100_000, b"\xff", b'{"type":"message_completed"}'])
def test_bytes_that_are_not_an_answer(data: bytes) -> None:
    assert decode_answer(data) is None


async def test_neither_the_request_nor_the_key_is_stored(turns: Turns) -> None:
    call = msgspec.structs.replace(make_call("a question of mine"), system="a system of mine")
    await turns.ask(call)
    key = key_of(call)
    entry = await turns.cache.get(key.name)
    assert entry is not None
    assert not any(word in entry for word in (b"of mine", b"sk-cache", b"127.0.0.1"))
