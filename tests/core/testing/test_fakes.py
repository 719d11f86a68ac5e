"""The fakes of what the core provides: which violations the toolbox records, how model calls are supervised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    Finish,
    GenerationRequest,
    InvalidRequest,
    MessageCompleted,
    ModelCall,
    Retrying,
    StreamInterrupted,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnStopped,
    UserMessage,
)
from vmpilot.testing import RetryingModelCalls, ScriptedToolbox

CALL = ToolCall("c1", "shell", '{"command": "ls"}')
REQUEST = GenerationRequest("c", "t", (UserMessage.from_text("hi"),), "", "m")


def yields(toolbox: ScriptedToolbox, *calls: ToolCall, finish: Finish = "tool_calls") -> None:
    """Let the toolbox see a message with these calls."""
    toolbox.see(MessageCompleted(AssistantMessage(tool_calls=calls, finish=finish)))


async def test_a_call_runs_after_its_message_was_seen() -> None:
    toolbox = ScriptedToolbox(lambda call: f"{call.id} ran")
    yields(toolbox, CALL)
    assert (await toolbox.call(CALL)).text == "c1 ran"
    assert (toolbox.calls, toolbox.faults) == ([CALL], [])


async def test_a_call_without_a_message_is_rejected_and_recorded() -> None:
    toolbox = ScriptedToolbox()
    yields(toolbox)
    assert (await toolbox.call(CALL)).is_error
    assert (toolbox.calls, toolbox.refused) == ([], [CALL])
    assert "not part of a recorded message" in toolbox.faults[0]


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal", "cut"])
async def test_an_incomplete_call_does_not_run(finish: Finish) -> None:
    toolbox = ScriptedToolbox()
    yields(toolbox, CALL, finish=finish)
    assert (await toolbox.call(CALL)).is_error
    assert (toolbox.calls, toolbox.refused) == ([], [CALL])


async def test_a_second_run_is_recorded_and_returns_the_same_result() -> None:
    toolbox = ScriptedToolbox(lambda _: str(len(toolbox.calls)))
    yields(toolbox, CALL)
    results = [(await toolbox.call(CALL)).text, (await toolbox.call(CALL)).text]
    assert (results, len(toolbox.calls)) == (["1", "1"], 1)
    assert "a second time" in toolbox.faults[0]


async def test_a_changed_call_is_recorded_and_runs_as_it_was_yielded() -> None:
    toolbox = ScriptedToolbox()
    yields(toolbox, CALL)
    await toolbox.call(ToolCall("c1", "shell", '{"command": "rm"}'))
    assert toolbox.calls == [CALL]
    assert "its message says" in toolbox.faults[0]


async def test_a_canceled_call_stays_canceled() -> None:
    started = asyncio.Event()

    async def endless(_call: ToolCall) -> ToolResult:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    toolbox = ScriptedToolbox(endless)
    yields(toolbox, CALL)
    task = asyncio.create_task(toolbox.call(CALL))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Breaks:
    """A backend's `stream_once` that fails this many times."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times = times
        self.error = error
        self.calls: list[ModelCall] = []

    async def __call__(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        self.calls.append(call)
        yield TextDelta("one")
        if len(self.calls) <= self.times:
            raise self.error
        yield MessageCompleted(AssistantMessage("one"))


async def test_a_failed_call_is_retried_and_its_text_retracted() -> None:
    model_calls = RetryingModelCalls(REQUEST, tries=2)
    events: list[BackendEvent] = []
    model_calls.emit = events.append
    await model_calls.ask(Breaks(1, StreamInterrupted("broke")), REQUEST.messages)
    assert [type(event) for event in events] == [TextDelta, Retrying, TextDelta, MessageCompleted]
    assert [type(error) for error in model_calls.raised] == [StreamInterrupted]


@pytest.mark.parametrize("error", [StreamInterrupted("broke"), InvalidRequest("no"), LookupError("odd")])
async def test_a_permanent_error_or_the_last_attempt_raises(error: Exception) -> None:
    stream_once = Breaks(9, error)
    with pytest.raises(type(error)):
        await RetryingModelCalls(REQUEST, tries=2).ask(stream_once, REQUEST.messages)
    assert len(stream_once.calls) == (2 if isinstance(error, StreamInterrupted) else 1)


async def test_invalid_arguments_are_sent_as_valid_json() -> None:
    stream_once = Breaks(0, LookupError())
    asks = AssistantMessage(tool_calls=(CALL, ToolCall("c2", "shell", '{"comm')), finish="tool_calls")
    await RetryingModelCalls(REQUEST).ask(stream_once, [asks])
    (sent,) = stream_once.calls[0].messages
    assert isinstance(sent, AssistantMessage)
    assert [call.arguments for call in sent.tool_calls] == [CALL.arguments, "{}"]


async def test_the_stop_is_raised_at_its_call() -> None:
    model_calls = RetryingModelCalls(REQUEST, stop_at=2, stop=TurnStopped("enough"))
    stream_once = Breaks(0, LookupError())
    assert await model_calls.ask(stream_once, REQUEST.messages)
    with pytest.raises(TurnStopped):
        await model_calls.ask(stream_once, REQUEST.messages)
