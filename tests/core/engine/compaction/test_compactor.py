"""When a turn compacts its conversation: with supervised calls, a real log, and a function as the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    ContextOverflow,
    Event,
    GenerationRequest,
    HistoryCompacted,
    Message,
    MessageCompleted,
    ModelCall,
    ModelError,
    ModelSettings,
    Notice,
    ProviderUnavailable,
    Retrying,
    RetryPolicy,
    StoreError,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    UserMessage,
)
from vmpilot.engine.calls import Emitter
from vmpilot.engine.calls.model_calls import SupervisedModelCalls
from vmpilot.engine.compacted_history import ASK
from vmpilot.engine.compaction.compactor import Compactor
from vmpilot.engine.journal import Journal
from vmpilot.engine.limits import Limits
from vmpilot.engine.tool_data import as_data
from vmpilot.store import ConversationLog

if TYPE_CHECKING:
    from vmpilot.engine import Conversation

SPEC = ToolSpec("shell", "Runs a command.", {"type": "object"})
SHORT = MessageCompleted(AssistantMessage("Short."), Usage(9, 1))
Answer = MessageCompleted | Exception


class Model:
    """A `StreamOnce` that returns the next of `answers` for each call, or `summary` if the call has no tools."""

    def __init__(self, *answers: Answer, summary: Answer = SHORT) -> None:
        self.answers = list(answers)
        self.summary = summary
        self.calls: list[ModelCall] = []
        self.asked: list[ModelCall] = []

    async def __call__(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        (self.calls if call.tools else self.asked).append(call)
        answer = self.answers.pop(0) if call.tools else self.summary
        yield TextDelta("So")
        if isinstance(answer, Exception):
            raise answer
        yield answer


class Bench:
    """One turn's model calls: `await bench.run(model, messages)` returns its events, `bench.seen()` the core's."""

    def __init__(self, journal: Journal, *, max_tokens: int | None = None, **options: Any) -> None:
        self.journal = journal
        self.limits = Limits(max_steps=99)
        self.compactor = Compactor(journal, **{"overhead": 100, "reserve": max_tokens or 0, **options})
        request = GenerationRequest(
            "c", "t", (), "Be brief.", "m", ModelSettings(), (SPEC,), RetryPolicy(attempts=2, total_seconds=9)
        )
        self.events: list[BackendEvent] = []
        self.emit = Emitter(self._show)
        self.calls = SupervisedModelCalls(
            request,
            limits=self.limits,
            emit=self.emit,
            record=self._record,
            compactor=self.compactor,
        )

    async def run(self, model: Model, messages: list[Message]) -> list[BackendEvent]:
        self.events = []
        await self.calls.ask(model, messages)
        return self.events

    def _show(self, event: BackendEvent) -> None:
        self.events.append(event)
        if isinstance(event, Retrying | Notice):
            self.journal.emit(event)

    async def _record(self, completed: MessageCompleted) -> AssistantMessage:
        self.events.append(completed)
        self.emit.clear()
        return completed.message

    async def seen(self) -> list[Event]:
        self.journal.close()
        return [event async for event in self.journal.events()]

    async def compactions(self) -> list[HistoryCompacted]:
        return [event for event in await self.seen() if isinstance(event, HistoryCompacted)]


@pytest.fixture
def make_bench(conversation: Conversation) -> Callable[..., Bench]:
    return lambda **options: Bench(Journal(conversation.log), **options)


def user(tokens: int) -> UserMessage:
    return UserMessage.from_text("u" * tokens * 4)


def says(tokens: int, **members: Any) -> AssistantMessage:
    return AssistantMessage("a" * tokens * 4, **members)


def step(id_: str, tokens: int) -> list[Message]:
    return [says(1, tool_calls=(ToolCall(id_, "shell", "{}"),)), ToolResult(id_, "shell", "t" * tokens * 4)]


def sent(message: Message) -> Message:
    return as_data(message, conversation_id="c") if isinstance(message, ToolResult) else message


def fine(usage: Usage | None = None) -> MessageCompleted:
    return MessageCompleted(AssistantMessage("Fine."), usage)


TALK: list[Message] = [user(10), says(9_000), user(10), says(1_000), user(10)]
"""10,050 tokens in round figures; 10,150 with the overhead."""


@pytest.mark.parametrize(
    ("options", "compacted"),
    [
        ({"window": 11_000}, True),
        ({"window": 12_500}, False),
        ({"find_window": lambda: 11_000}, True),
        ({"find_window": lambda: None}, False),
        ({"find_window": lambda: -1}, False),
        ({"window": 12_500, "find_window": lambda: 11_000}, False),
        ({"window": 12_500, "max_tokens": 3_000}, True),
        ({"window": 12_500, "max_tokens": 12_000}, False),
        ({"window": 12_500, "overhead": 1_000}, True),
    ],
)
async def test_a_conversation_near_the_window_limit_is_compacted(
    make_bench: Callable[..., Bench], options: dict[str, Any], *, compacted: bool
) -> None:
    bench, model = make_bench(**options), Model(fine())
    await bench.run(model, TALK)
    (call,) = model.calls
    assert call.messages == ((ASK, AssistantMessage("Short."), TALK[-1]) if compacted else tuple(TALK))
    assert len(model.asked) == len(await bench.compactions()) == compacted


async def test_a_small_conversation_does_not_look_up_the_window(make_bench: Callable[..., Bench]) -> None:
    asked: list[int] = []
    bench = make_bench(find_window=lambda: asked.append(1))
    await bench.run(Model(fine()), [user(3_000)])
    assert asked == []
    for _ in range(2):
        await bench.run(Model(fine()), [user(4_000)])
    assert asked == [1]


async def test_the_token_count_of_the_provider_decides(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(window=14_000), Model(fine(Usage(13_500)), fine())
    await bench.run(model, TALK)
    await bench.run(model, [*TALK, says(10), user(10)])
    (event,) = await bench.compactions()
    assert event.tokens_before > 13_500


@pytest.mark.parametrize(("counted", "compacted"), [(10_150, False), (13_500, True), (1, False)])
async def test_the_token_count_of_the_previous_turn_decides(
    make_bench: Callable[..., Bench], counted: int, *, compacted: bool
) -> None:
    told = MessageCompleted(says(10), Usage(counted, 10**6))
    bench, model = make_bench(window=14_000, told=told), Model(fine())
    await bench.run(model, [*TALK, told.message, user(10)])
    assert bool(await bench.compactions()) == compacted


async def test_a_summary_costs_tokens_but_no_step(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(window=11_000), Model(fine(Usage(1_000)))
    events = await bench.run(model, TALK)
    assert events == [TextDelta("So"), fine(Usage(1_000))]
    assert (bench.limits.steps, bench.limits.usage) == (1, Usage(9, 1))
    (asked,) = model.asked
    assert (asked.tools, asked.settings, asked.model) == ((), ModelSettings(), "m")


async def test_the_compaction_is_logged_before_the_model_is_asked(
    make_bench: Callable[..., Bench], conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_log: ConversationLog, *_events: Event) -> None:
        raise StoreError("the disk is full")

    bench, model = make_bench(window=11_000), Model(fine())
    with monkeypatch.context() as patch:
        patch.setattr(ConversationLog, "append", full)
        with pytest.raises(StoreError, match="disk is full"):
            await bench.run(model, TALK)
    assert model.calls == []


async def test_later_steps_reuse_the_summary(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(window=11_000), Model(fine(), fine(), fine())
    messages = list(TALK)
    for at in range(3):
        await bench.run(model, messages)
        messages += step(f"s{at}", 10)
    assert len(model.asked) == 1
    assert [len(call.messages) for call in model.calls] == [3, 5, 7]
    assert model.calls[2].messages[3:] == tuple(map(sent, messages[5:9]))


async def test_the_mildest_sufficient_compaction_is_used(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(window=11_000), Model(fine(), fine())
    messages: list[Message] = [user(10), *step("a", 5_000), *step("b", 4_500)]
    await bench.run(model, messages)
    many = [message for at in range(30) for message in step(f"m{at}", 400)]
    await bench.run(model, [*messages, *many])
    assert [(event.summary, event.kept, event.output_limit) for event in await bench.compactions()] == [
        ("", 1, 4_000),
        ("", 1, 300),
    ]
    assert model.asked == []


async def test_outputs_that_the_model_has_not_seen_stay_complete(
    make_bench: Callable[..., Bench],
) -> None:
    """The last message's results are kept however long they are, and earlier steps if there is room."""
    messages = [*TALK, *step("a", 3_000), *step("b", 1_000), *step("c", 2_000)]
    bench, model = make_bench(window=11_000), Model(fine())
    await bench.run(model, messages)
    (event,) = await bench.compactions()
    assert (event.summary, event.kept) == ("Short.", 1)
    assert model.calls[0].messages[2:] == (TALK[-1], *map(sent, messages[-2:]))


async def test_a_conversation_that_cannot_be_shortened_is_sent_unchanged(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(window=11_000), Model(fine(), fine())
    await bench.run(model, [user(10_500)])
    await bench.run(model, [user(10_500), *step("a", 100)])
    assert (model.asked, await bench.seen()) == ([], [])
    assert len(model.calls[1].messages) == 3


async def test_a_summary_that_is_no_shorter_is_not_used(make_bench: Callable[..., Bench]) -> None:
    """It is cut to its share of the window, which does not help a conversation with one long request."""
    bench = make_bench(window=11_000)
    model = Model(fine(), summary=MessageCompleted(says(9_000)))
    await bench.run(model, [user(10), says(1_200), user(9_500)])
    assert len(model.asked) == 1
    assert await bench.compactions() == []


async def test_a_failed_summary_is_not_retried_on_every_step(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(window=11_000), Model(fine(), fine(), summary=ProviderUnavailable("down"))
    await bench.run(model, TALK)
    await bench.run(model, [*TALK, says(10), user(10)])
    seen = await bench.seen()
    assert [type(event) for event in seen] == [Retrying, Notice]
    assert isinstance(seen[0], Retrying)
    assert not seen[0].discard
    assert "down" in str(seen[1])
    assert [len(call.messages) for call in model.calls] == [5, 7]


async def test_text_before_an_overflow_is_retracted(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(), Model(ContextOverflow("too long"), fine())
    events = await bench.run(model, TALK)
    assert events == [TextDelta("So"), Retrying(2, 0.0, "too long", discard=True), TextDelta("So"), fine()]
    assert [event.summary for event in await bench.compactions()] == ["Short."]


async def test_a_model_that_overflowed_has_a_smaller_window_from_then_on(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(), Model(ContextOverflow("too long"), fine(), fine())
    await bench.run(model, TALK)
    await bench.run(model, [*TALK, says(8_800), user(10)])
    assert [len(call.messages) for call in model.calls] == [5, 3, 3]
    assert len(await bench.compactions()) == 2


async def test_a_persistent_overflow_ends_after_three_requests(make_bench: Callable[..., Bench]) -> None:
    bench, model = make_bench(), Model(*[ContextOverflow("too long")] * 9)
    messages = [user(10), *step("a", 5_000), *step("b", 10), *step("c", 10)]
    with pytest.raises(ContextOverflow, match="compacting did not help: too long"):
        await bench.run(model, messages)
    assert len(model.calls) == 3
    assert [bool(event.summary) for event in await bench.compactions()] == [False, True]


async def test_an_overflow_with_a_failed_summary_reports_both(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    with pytest.raises(ModelError, match=r"could not be summarized \(down\), and too long"):
        await bench.run(Model(ContextOverflow("too long"), summary=ProviderUnavailable("down")), TALK)
