from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from vmpilot.agent.limits import Limits, LimitStop
from vmpilot.agent.model_calls import SupervisedModelCalls
from vmpilot.contract import (
    AssistantMessage,
    AuthenticationFailed,
    BackendEvent,
    BadResponse,
    GenerationRequest,
    MessageCompleted,
    ModelCall,
    ModelError,
    ModelSettings,
    ModelTimeout,
    ProviderUnavailable,
    RateLimited,
    ReasoningDelta,
    Retrying,
    RetryPolicy,
    StreamInterrupted,
    StreamOnce,
    TextDelta,
    TimeLimits,
    ToolCall,
    ToolCallDelta,
    UserMessage,
)

FINE = MessageCompleted(AssistantMessage("Fine."))
ONCE = RetryPolicy(attempts=1)

Script = list[BackendEvent | BaseException | float]


class Stream:
    """A `StreamOnce` that plays one script after the other: events, errors, and seconds of silence."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.calls: list[ModelCall] = []
        self.closed = 0

    async def __call__(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        self.calls.append(call)
        try:
            for item in self.scripts.pop(0):
                match item:
                    case float():
                        await asyncio.sleep(item)
                    case BaseException():
                        raise item
                    case event:
                        yield event
        finally:
            self.closed += 1


def supervise(*, retry: RetryPolicy = ONCE, **limits: float) -> SupervisedModelCalls:
    settings = ModelSettings(time_limits=TimeLimits(**limits))
    history = (UserMessage.from_text("1"), AssistantMessage(tool_calls=(ToolCall("old", "shell", "{}"),)))
    request = GenerationRequest("c", "t", history, "Be brief.", "m", settings, retry=retry)
    return SupervisedModelCalls(request, limits=Limits(max_steps=5))


async def play(
    stream_once: StreamOnce, calls: SupervisedModelCalls | None = None, messages: tuple[Any, ...] = ()
) -> list[BackendEvent]:
    async with asyncio.timeout(10):
        return [event async for event in (calls or supervise()).run(stream_once, messages)]


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are as short as they may be; what is waited for is seen in the events."""
    monkeypatch.setattr("vmpilot.agent.model_calls.random.uniform", lambda low, _high: low / 50)


async def test_events_pass_and_the_call_is_what_the_request_says() -> None:
    stream = Stream([ReasoningDelta("Hm."), TextDelta("Fine."), FINE])
    message = UserMessage.from_text("a\0b")
    assert await play(stream, messages=(message,)) == [ReasoningDelta("Hm."), TextDelta("Fine."), FINE]
    (call,) = stream.calls
    assert (call.model, call.system, call.messages) == ("m", "Be brief.", (UserMessage.from_text("a\ufffdb"),))
    assert stream.closed == 1


async def test_ids_are_made_unique_across_the_turn() -> None:
    message = AssistantMessage(
        tool_calls=tuple(ToolCall(id_, "shell", "{}") for id_ in ("old", "", "new", "new")), finish="tool_calls"
    )
    calls = supervise()
    events = [await play(Stream([MessageCompleted(message)]), calls) for _ in range(2)]
    ids = [call.id for (event,) in events if isinstance(event, MessageCompleted) for call in event.message.tool_calls]
    assert len(set(ids)) == 8
    assert ids[2] == "new"
    assert not {"", "old"} & set(ids)


@pytest.mark.parametrize(
    ("script", "error", "told"),
    [
        pytest.param([], BadResponse, "without a message", id="nothing"),
        pytest.param([TextDelta("x")], BadResponse, "without a message", id="no end"),
        pytest.param([MessageCompleted(AssistantMessage(" "))], BadResponse, "empty answer", id="blank"),
        pytest.param([MessageCompleted(AssistantMessage("", "Hm."))], BadResponse, "only reasoning", id="reasoning"),
        pytest.param([MessageCompleted(AssistantMessage("x", finish="cut"))], StreamInterrupted, "broke off", id="cut"),
    ],
)
async def test_a_call_without_a_proper_answer_is_an_error(script: Script, error: type[ModelError], told: str) -> None:
    stream = Stream(script)
    with pytest.raises(error, match=told):
        await play(stream)
    assert stream.closed == 1


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
async def test_an_end_that_the_provider_marked_is_an_end(finish: Any) -> None:
    completed = MessageCompleted(AssistantMessage("", finish=finish))
    assert await play(Stream([completed])) == [completed]


async def test_what_comes_behind_the_message_is_not_waited_for() -> None:
    stream = Stream([FINE, 60.0])
    assert await play(stream) == [FINE]
    assert stream.closed == 1


@pytest.mark.parametrize(
    ("script", "limits", "told"),
    [
        pytest.param([60.0], {"first_content": 0.05}, "sent nothing for 0.05 s", id="first content"),
        pytest.param([TextDelta("x"), 60.0], {"gap": 0.05}, "silent in mid-answer for 0.05 s", id="gap"),
        pytest.param([TextDelta("x"), 60.0], {"whole": 0.05}, "not done after 0.05 s", id="whole"),
        pytest.param([60.0], {"whole": 0.05}, "not done after 0.05 s", id="whole before the first"),
        pytest.param([TextDelta("x"), 0.03] * 50, {"gap": 0.2, "whole": 0.1}, "not done after 0.1 s", id="drip"),
    ],
)
async def test_silence_has_an_end(script: Script, limits: dict[str, float], told: str) -> None:
    stream = Stream(script)
    with pytest.raises(ModelTimeout, match=told):
        await play(stream, supervise(retry=ONCE, **limits))
    assert stream.closed == 1


@pytest.mark.parametrize("piece", [TextDelta("x"), ReasoningDelta("x"), ToolCallDelta(0, "x")])
async def test_every_piece_is_a_sign_of_life(piece: BackendEvent) -> None:
    script: Script = [item for _ in range(5) for item in (piece, 0.1)]
    events = await play(Stream([*script, FINE]), supervise(gap=0.3, first_content=0.3))
    assert events == [*[piece] * 5, FINE]


async def test_the_consumers_own_time_does_not_count() -> None:
    calls = supervise(gap=0.05, first_content=0.05, whole=0.1)
    events = []
    async for event in calls.run(Stream([TextDelta("x"), TextDelta("y"), FINE]), ()):
        events.append(event)
        await asyncio.sleep(0.12)
    assert events[-1] == FINE


async def test_a_retry_says_so_and_takes_back_what_was_shown() -> None:
    broken = StreamInterrupted("broke")
    stream = Stream([broken], [TextDelta("Fi"), broken], [ToolCallDelta(0), broken], [TextDelta("Fine."), FINE])
    events = await play(stream, supervise(retry=RetryPolicy(attempts=4)))
    retries = [event for event in events if isinstance(event, Retrying)]
    assert [(retry.attempt, retry.why, retry.discard) for retry in retries] == [
        (2, "broke", False),
        (3, "broke", True),
        (4, "broke", True),
    ]
    assert retries[0].delay < retries[1].delay < retries[2].delay
    assert events[-2:] == [TextDelta("Fine."), FINE]
    assert len({id(call) for call in stream.calls}) == 1


async def test_attempts_are_counted_with_the_first() -> None:
    down = ProviderUnavailable("down")
    stream = Stream([down], [down], [down])
    with pytest.raises(ProviderUnavailable, match="down"):
        await play(stream, supervise(retry=RetryPolicy(attempts=3)))
    assert stream.closed == 3


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("wrong key"), ValueError("a bug"), LimitStop.__new__(LimitStop)]
)
async def test_what_is_not_retryable_passes_at_once(error: Exception) -> None:
    stream = Stream([error], [FINE])
    with pytest.raises(type(error)):
        await play(stream, supervise(retry=RetryPolicy(attempts=3)))
    assert len(stream.calls) == 1


@pytest.mark.parametrize("make", [RateLimited, ProviderUnavailable])
async def test_the_providers_word_is_a_floor(make: Callable[..., ModelError]) -> None:
    stream = Stream([make("later", retry_after=0.2)], [FINE])
    started = asyncio.get_running_loop().time()
    events = await play(stream, supervise(retry=RetryPolicy(attempts=2)))
    assert asyncio.get_running_loop().time() - started >= 0.2
    assert events[0] == Retrying(2, 0.2, "later", discard=False)


async def test_a_wait_beyond_the_patience_is_not_begun() -> None:
    stream = Stream([RateLimited("in an hour", retry_after=3600.0)], [FINE])
    with pytest.raises(RateLimited, match="hour"):
        await play(stream, supervise(retry=RetryPolicy(attempts=3)))
    assert len(stream.calls) == 1


async def test_closing_closes_the_stream() -> None:
    stream = Stream([TextDelta("x"), 60.0])
    events = supervise().run(stream, ())
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        await anext(events)
    assert stream.closed == 1


async def test_steps_are_counted_before_the_model_is_asked() -> None:
    limits = Limits(max_steps=1)
    limits.end_step(None)
    stream = Stream([FINE])
    with pytest.raises(LimitStop):
        await play(stream, SupervisedModelCalls(GenerationRequest("c", "t", (), "", "m"), limits=limits))
    assert stream.calls == []
