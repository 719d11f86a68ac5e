"""Conversations that outgrow the model's window, on both backends; the server rejects any invalid history."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from vmpilot.contract import (
    HistoryCompacted,
    ImagePart,
    Notice,
    Retrying,
    TextPart,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageError,
    UserMessage,
)
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall, Step

if TYPE_CHECKING:
    from tests.system.conftest import Machine

    from vmpilot.testing import RecordedRequest

KEY = "sk-system-0123456789abcdef"
OTHER = {"litellm": "langchain", "langchain": "litellm"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
OVERFLOW = HttpError(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")
SUMMARY = "The user likes brevity; nothing is open."
WINDOW = 24_000
LONG = 27_000
"""Characters of a text of which three are too much for the window, and two are not."""


def asks_for_summary(request: RecordedRequest) -> bool:
    return str(request.messages[0]["content"]).startswith("You write the summary")


@dataclass
class Model:
    """Plays `steps` for the conversation, and `summaries` (repeating the last) for summary requests.

    It counts four bytes per token, and with a `window` it rejects longer requests.
    """

    steps: list[Step]
    summaries: list[Step] = field(default_factory=lambda: [Reply(SUMMARY)])
    window: int | None = None
    server: ScriptedServer = field(init=False)

    def __call__(self, request: RecordedRequest) -> Step:
        tokens = request.raw_size // 4
        if self.window is not None and tokens > self.window:
            return OVERFLOW
        if asks_for_summary(request):
            step = self.summaries.pop(0) if len(self.summaries) > 1 else self.summaries[0]
        else:
            step = self.steps.pop(0)
        return msgspec.structs.replace(step, usage=Usage(tokens, 10)) if isinstance(step, Reply) else step

    @property
    def own(self) -> list[list[dict[str, Any]]]:
        """The messages of each of the conversation's own requests, without the system prompt."""
        return [request.messages[1:] for request in self.server.requests if not asks_for_summary(request)]

    @property
    def asked(self) -> list[RecordedRequest]:
        """The requests for a summary."""
        return [request for request in self.server.requests if asks_for_summary(request)]


@contextmanager
def serve(*steps: Step, **options: Any) -> Iterator[Model]:
    """A model whose steps must all be used by the end."""
    model = Model(list(steps), **options)
    with ScriptedServer([model], repeat_last=True) as model.server:
        yield model
    assert model.steps == []


def prints(name: str, characters: int = LONG) -> Reply:
    command = f"echo {name} begins; printf '%0{characters}d\\n' 0; echo {name} ends"
    return Reply(f"I run {name}.", tool_calls=(ScriptedCall("shell", {"command": command}, id=f"call_{name}"),))


def talks(name: str, characters: int = LONG, **members: Any) -> Reply:
    return Reply(f"{name} " + "x" * characters, chunks=3, **members)


def roles(messages: list[dict[str, Any]]) -> list[str]:
    return [message["role"] for message in messages]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [str(message["content"])[:20] for message in messages]


def is_summary(messages: list[dict[str, Any]], summary: str = SUMMARY) -> bool:
    """Whether the messages begin with a summary of the earlier ones."""
    return roles(messages)[:2] == ["user", "assistant"] and messages[1]["content"] == summary


async def hold_talk(machine: Machine, model: Model, *requests: str, **settings: Any) -> str:
    """Run turns of one conversation, and return its id."""
    async with machine.agent(model.server, **settings) as agent:
        for request in requests:
            await machine.play(agent, request)
        return str(agent.conversation_id)


async def test_near_the_window_limit_old_outputs_are_shortened_first(machine: Machine) -> None:
    with serve(prints("a"), prints("b"), prints("c"), Reply("Done.")) as model:
        seen = await machine.ask(model.server, "Print.", context_window=WINDOW)
    (event,) = seen.of(HistoryCompacted)
    assert (event.summary, event.kept) == ("", 1)
    assert WINDOW * 0.85 < event.tokens_before < WINDOW
    assert event.tokens_after < WINDOW * 0.6
    messages = model.own[-1]
    assert roles(messages) == ["user", *["assistant", "tool"] * 3]
    *old, last = (message["content"] for message in messages if message["role"] == "tool")
    for name, text in zip("ab", old, strict=True):
        assert f"{name} begins" in text
        assert "characters omitted to save space" in text
        assert f"{name} ends" in text
        assert len(text) < LONG / 4
    assert len(last) > LONG
    assert (model.asked, seen.end.reason) == ([], "answered")


async def test_near_the_window_limit_a_conversation_is_summarized(machine: Machine) -> None:
    """The last request is kept with its image; the summary is charged, but not shown as an answer."""
    request = UserMessage((TextPart("What is\tthis?"), ImagePart(PIXEL, "low")))
    replies = [talks(name) for name in ("one", "two", "three")]
    with serve(*replies, Reply("A pixel.")) as model:
        async with machine.agent(model.server, context_window=WINDOW) as agent:
            for text in ("1?", UserMessage((TextPart("2?"), ImagePart(PIXEL))), "3?"):
                await machine.play(agent, text)
            seen = await machine.play(agent, request)
    (event,) = seen.of(HistoryCompacted)
    assert (event.summary, event.kept) == (SUMMARY, 0)
    assert event.tokens_before > WINDOW * 0.85
    assert event.tokens_after < event.tokens_before - 3 * LONG / 4.2
    assert is_summary(model.own[-1])
    assert model.own[-1][2:] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is\tthis?"},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            ],
        }
    ]
    (asked,) = model.asked
    assert "tools" not in asked.body
    assert "[an image]" in asked.messages[1]["content"]
    assert "What is\tthis?" not in asked.messages[1]["content"]
    assert seen.text == "A pixel."
    counted = [request.raw_size // 4 for request in model.server.requests[-2:]]
    assert seen.end.usage == Usage(sum(counted), 20)


async def test_during_a_turn_the_request_and_the_latest_steps_are_kept(machine: Machine) -> None:
    """Each later step sends the summary instead of the messages it replaces, and so does a resumed conversation."""
    steps = [msgspec.structs.replace(prints(f"s{at}", 10), text="x" * 8_000) for at in range(14)]
    with serve(*steps, Reply("Done."), Reply("Yes.")) as model:
        seen = await machine.ask(model.server, "Work.", context_window=WINDOW)
        assert seen.end.reason == "answered"
        async with machine.agent(
            model.server, backend=OTHER[machine.backend], conversation=seen.started.conversation_id
        ) as agent:
            await machine.play(agent, "Sure?")
    (event,) = seen.of(HistoryCompacted)
    first = next(at for at, messages in enumerate(model.own) if is_summary(messages))
    kept = model.own[first]
    assert kept[2]["content"] == "Work."
    assert roles(kept[3:]) == ["assistant", "tool"] * event.kept
    assert 1 <= event.kept < first
    assert kept[3:] == model.own[first - 1][-2 * (event.kept - 1) :] + kept[-2:]
    for before, after in zip(model.own[first:-1], model.own[first + 1 :], strict=True):
        assert after[: len(before)] == before


async def test_an_overflow_is_resolved_by_a_summary(machine: Machine) -> None:
    with serve(talks("One"), OVERFLOW, Reply("Two.")) as model:
        async with machine.agent(model.server) as agent:
            await machine.play(agent, "1?")
            seen = await machine.play(agent, "2?")
    assert [event.summary for event in seen.of(HistoryCompacted)] == [SUMMARY]
    assert is_summary(model.own[-1])
    assert (seen.text, seen.end.reason, seen.of(Retrying)) == ("Two.", "answered", [])


async def test_an_overflow_after_shortening_leads_to_a_summary(machine: Machine) -> None:
    with serve(prints("a"), prints("b", 10), OVERFLOW, OVERFLOW, Reply("Done.")) as model:
        seen = await machine.ask(model.server, "Print.")
    assert [bool(event.summary) for event in seen.of(HistoryCompacted)] == [False, True]
    assert is_summary(model.own[-1])
    assert roles(model.own[-1]) == ["user", "assistant", "user", "assistant", "tool"]
    assert seen.end.reason == "answered"


@pytest.mark.parametrize(
    ("history", "told"), [((), "compacting cannot help: "), ((talks("One"),), "compacting did not help: ")]
)
async def test_useless_compaction_ends_with_an_error_message(
    machine: Machine, history: tuple[Step, ...], told: str
) -> None:
    with serve(*history, *[OVERFLOW] * (1 + len(history)), Reply("Better.")) as model:
        async with machine.agent(model.server) as agent:
            for _ in history:
                await machine.play(agent, "1?")
            seen = await machine.play(agent, "2?")
            again = await machine.play(agent, "3?")
    assert (seen.end.reason, seen.end.exit_code) == ("failed", 1)
    assert told in seen.error
    assert "has no room for this conversation" in seen.error
    assert "\n" not in seen.error
    assert bool(model.asked) == bool(history)
    assert again.end.reason == "answered"


async def test_a_conversation_too_long_for_one_summary_is_summarized_in_parts(machine: Machine) -> None:
    """The conversation was held with a model with a larger window; the first summary is part of the second request."""
    replies = [talks(name) for name in ("one", "two", "three", "four")]
    parts: list[Step] = [Reply("First part."), Reply("Both parts.")]
    with serve(*replies, Reply("Yes."), summaries=parts) as model:
        conversation = await hold_talk(machine, model, "1?", "2?", "3?", "4?")
        model.window = 15_000
        async with machine.agent(model.server, conversation=conversation, context_window=15_000) as agent:
            seen = await machine.play(agent, "5?")
    assert [event.summary for event in seen.of(HistoryCompacted)] == ["Both parts."]
    first, second = (str(request.messages[1]["content"]) for request in model.asked)
    assert "one xxx" in first
    assert "four xxx" in second
    assert "summary of the earlier conversation\nFirst part." in second
    assert is_summary(model.own[-1], "Both parts.")


async def test_a_window_that_is_far_too_small_ends_with_an_error_message(machine: Machine) -> None:
    with serve(talks("one"), talks("two"), OVERFLOW, summaries=[OVERFLOW]) as model:
        conversation = await hold_talk(machine, model, "1?", "2?")
        async with machine.agent(model.server, conversation=conversation) as agent:
            seen = await machine.play(agent, "3?")
    assert (seen.end.reason, seen.of(HistoryCompacted)) == ("failed", [])
    assert "could not be summarized" in seen.error
    assert 1 < len(model.asked) <= 12


@pytest.mark.parametrize("failure", [HttpError(400, "Bad."), Reply("No", refusal="I will not."), HttpError(500)])
async def test_a_failed_summary_near_the_window_limit_only_causes_a_notice(machine: Machine, failure: Step) -> None:
    replies = [talks(name) for name in ("one", "two", "three")]
    with serve(*replies, Reply("Still here."), summaries=[failure]) as model:
        conversation = await hold_talk(machine, model, "1?", "2?", "3?")
        settings: dict[str, Any] = {"context_window": WINDOW, "attempts": 2 if failure == HttpError(500) else 1}
        async with machine.agent(model.server, conversation=conversation, **settings) as agent:
            seen = await machine.play(agent, "4?")
    (notice,) = seen.of(Notice)
    assert "could not be summarized" in notice.text
    assert [retrying.discard for retrying in seen.of(Retrying)] == [False] * (len(model.asked) - 1)
    assert texts(model.own[-1])[-1] == "4?"
    assert len(model.own[-1]) == 7
    assert seen.end.reason == "answered"


async def test_compaction_can_be_switched_off(machine: Machine) -> None:
    replies = [talks(name) for name in ("one", "two", "three")]
    with serve(*replies, Reply("Four."), OVERFLOW) as model:
        async with machine.agent(model.server, context_window=WINDOW, compaction=False) as agent:
            for text in ("1?", "2?", "3?"):
                await machine.play(agent, text)
            full = await machine.play(agent, "4?")
            over = await machine.play(agent, "5?")
    assert len(model.own[-2]) == 7
    assert (full.end.reason, over.end.reason, model.asked) == ("answered", "failed", [])
    assert "compact" not in over.error


async def test_manual_compaction(machine: Machine) -> None:
    """The last request and its answer are kept; the summary's cost is counted; a second compaction does nothing."""
    with serve(talks("one"), Reply("Two."), Reply("Three.")) as model:
        async with machine.agent(model.server) as agent:
            await machine.play(agent, "1?")
            await machine.play(agent, "2?")
            seen = await machine.compact(agent)
            nothing = await machine.compact(agent)
            await machine.play(agent, "3?")
    (event,) = seen.of(HistoryCompacted)
    assert (event.summary, event.kept) == (SUMMARY, 1)
    assert event.tokens_after < event.tokens_before
    assert (seen.end.reason, seen.end.exit_code) == ("answered", 0)
    assert seen.end.usage == Usage(model.asked[0].raw_size // 4, 10)
    assert texts(model.own[-1]) == [texts(model.own[-1])[0], SUMMARY[:20], "2?", "Two.", "3?"]
    assert [notice.text for notice in nothing.of(Notice)] == [
        "Nothing to compact: a summary would not be shorter than the conversation."
    ]
    assert (nothing.end.reason, nothing.end.exit_code, len(model.asked)) == ("answered", 0, 1)
    assert len([entry for entry in machine.stored() if isinstance(entry, TurnStarted)]) == 4
    assert machine.stored().count(event) == 1


async def test_manual_compaction_without_a_conversation(machine: Machine) -> None:
    with ScriptedServer([]) as server:
        async with machine.agent(server) as agent:
            with pytest.raises(UsageError, match="No conversation to compact"):
                await machine.compact(agent)
    assert not machine.database.exists()


async def test_interrupted_manual_compaction(machine: Machine) -> None:
    with serve(talks("one"), Reply("Two."), Reply("Three."), summaries=[Stall()]) as model:
        async with machine.agent(model.server) as agent:
            await machine.play(agent, "1?")
            await machine.play(agent, "2?")
            compacting = asyncio.create_task(machine.compact(agent))
            await asyncio.to_thread(model.server.wait_for_requests, 3, 10)
            agent.stop()
            assert (await compacting).end.reason == "interrupted"
            await machine.play(agent, "3?")
    assert texts(model.own[-1])[::2] == ["1?", "2?", "3?"]


async def test_a_compacted_conversation_continues_on_the_other_backend_and_is_compacted_again(machine: Machine) -> None:
    calls = (ScriptedCall("shell", {"command": "echo hi"}, id="call_x"),)
    script = [talks("one"), talks("two"), talks("three"), talks("four", tool_calls=calls), talks("five"), talks("six")]
    with serve(*script, talks("seven"), Reply("Done."), summaries=[Reply("First."), Reply("Second.")]) as model:
        conversation = await hold_talk(machine, model, "1?", "2?", "3?", "4?", context_window=WINDOW)
        there = {"backend": OTHER[machine.backend], "conversation": conversation, "context_window": WINDOW}
        async with machine.agent(model.server, **there) as other:
            sixth = await machine.play(other, "5?")
            last = await machine.play(other, "6?")
        await hold_talk(machine, model, "7?", conversation=conversation, context_window=WINDOW)
    assert sixth.started.backend == OTHER[machine.backend]
    assert (sixth.of(HistoryCompacted), [event.summary for event in last.of(HistoryCompacted)]) == ([], ["Second."])
    assert is_summary(model.own[-3], "First.")
    assert model.own[-3][: len(model.own[-4])] == model.own[-4]
    assert is_summary(model.own[-2], "Second.")
    assert model.own[-1] == [
        *model.own[-2],
        {"role": "assistant", "content": model.own[-1][3]["content"]},
        {"role": "user", "content": "7?"},
    ]
    assert "First." in str(model.asked[1].messages)
    stored = [event.summary for event in machine.stored(conversation) if isinstance(event, HistoryCompacted)]
    assert stored == ["First.", "Second."]


@pytest.mark.parametrize("backend", ["langchain"])
@pytest.mark.parametrize("compacted", [False, True])
async def test_after_kill_9_the_conversation_matches_the_log(machine: Machine, *, compacted: bool) -> None:
    """Killed while the summary is being made, and while the compacted conversation is being answered."""
    replies = [talks(name) for name in ("one", "two", "three")]
    steps: list[Step] = [*replies, *[Stall()] * compacted, Reply("Fine.")]
    with serve(*steps, summaries=[Reply("Old.") if compacted else Stall(), Reply("New.")]) as model:
        conversation = await hold_talk(machine, model, "1?", "2?", "3?")
        await asyncio.to_thread(kill_at_request, machine, model, 5 if compacted else 4)
        async with machine.agent(model.server, conversation=conversation, context_window=WINDOW) as agent:
            seen = await machine.play(agent, "5?")
    stored = [event.summary for event in machine.stored() if isinstance(event, HistoryCompacted)]
    assert stored == (["Old."] if compacted else ["New."])
    assert is_summary(model.own[-1], stored[0])
    assert texts(model.own[-1])[2:] == (["4?", "(This turn ended wit", "5?"] if compacted else ["5?"])
    assert seen.end.reason == "answered"
    assert len([event for event in machine.stored() if isinstance(event, TurnEnded)]) == 4


def kill_at_request(machine: Machine, model: Model, number: int) -> None:
    """Run the program until it has made this many requests in total, and kill it."""
    environment = {
        **machine.environment.variables,
        "VMPILOT_DATA_DIR": str(machine.home / "data"),
        "VMPILOT_CONFIG_DIR": str(machine.home / "config"),
        "VMPILOT_API_KEY": KEY,
        "VMPILOT_CONTEXT_WINDOW": str(WINDOW),
    }
    options = ["--backend", machine.backend, "--base-url", model.server.base_url, "--model", "m", "-c", "4?"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vmpilot", *options],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=machine.folder,
    )
    try:
        model.server.wait_for_requests(number, timeout=30)
    finally:
        process.kill()
        process.wait()
