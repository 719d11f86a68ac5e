from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    ApprovalRequested,
    AssistantMessage,
    AuthenticationFailed,
    BackendEvent,
    Event,
    GenerationRequest,
    LimitReached,
    MessageCompleted,
    ModelCalls,
    Notice,
    StoreError,
    TextDelta,
    Toolbox,
    ToolCall,
    ToolFinished,
    ToolOutcome,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
    UserMessage,
)
from vmpilot.engine import Conversation
from vmpilot.machine.workspace import Workspace
from vmpilot.permissions import PermissionPolicy
from vmpilot.store import ConversationLog, ConversationStore

if TYPE_CHECKING:
    from tests.core.engine.conftest import FakeTool, TurnRunner

    MakeTool = Callable[..., FakeTool]

Items = AsyncGenerator[BackendEvent | str, None]
CALL = ToolCall("a", "work", "{}")
ASKS = MessageCompleted(AssistantMessage(tool_calls=(CALL,), finish="tool_calls"), Usage(10, 5))
ANSWERS = MessageCompleted(AssistantMessage("Done."), Usage(20, 7))


def end_of(events: list[Event]) -> TurnEnded:
    assert isinstance(events[0], TurnStarted)
    ends = [event for event in events if isinstance(event, TurnEnded)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    return ends[0]


async def work(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
    return ToolOutcome("worked")


async def tools_then_answer(toolbox: Toolbox) -> Items:
    yield ASKS
    await toolbox.call(CALL)
    yield TextDelta("Done.")
    yield ANSWERS


async def test_a_turn_with_a_tool(runner: TurnRunner, fake_tool: MakeTool) -> None:
    events = await runner.run_turn(tools_then_answer, fake_tool(work))
    kinds = [TurnStarted, MessageCompleted, ToolStarted, ToolFinished, TextDelta, MessageCompleted, TurnEnded]
    assert [type(event) for event in events] == kinds
    end = end_of(events)
    assert (end.reason, end.exit_code, end.usage, end.cost) == ("answered", 0, Usage(30, 12), None)


async def test_the_log_contains_everything_except_deltas(runner: TurnRunner, fake_tool: MakeTool) -> None:
    events = await runner.run_turn(tools_then_answer, fake_tool(work))
    assert await runner.conversation.log.read() == tuple(event for event in events if not isinstance(event, TextDelta))


async def test_the_request_contains_the_history_and_ends_with_the_user_message(runner: TurnRunner) -> None:
    requests: list[GenerationRequest] = []

    async def answer(request: GenerationRequest) -> Items:
        requests.append(request)
        yield "Hello."

    await runner.run_turn(answer, text="One?")
    await runner.run_turn(answer, text="Two?")
    assert requests[1].messages == (
        UserMessage.from_text("One?"),
        AssistantMessage("Hello."),
        UserMessage.from_text("Two?"),
    )
    assert requests[0].conversation_id == requests[1].conversation_id == runner.conversation.id
    assert requests[0].turn_id != requests[1].turn_id


async def test_a_backend_can_yield_plain_text(runner: TurnRunner) -> None:
    def echo(request: GenerationRequest) -> Iterator[str]:
        yield "You said: "
        yield request.messages[-1].text

    events = await runner.run_turn(echo, text="hi")
    assert [event.message.text for event in events if isinstance(event, MessageCompleted)] == ["You said: hi"]
    assert end_of(events).exit_code == 0


NOTHING: tuple[BackendEvent, ...] = ()


async def nothing() -> Items:
    for item in NOTHING:
        yield item


async def no_end() -> Items:
    yield TextDelta("So far.")


async def calls_only() -> Items:
    yield ASKS


async def crash() -> Items:
    yield TextDelta("So far.")
    raise ZeroDivisionError("by zero")


async def refuse() -> Items:
    for item in NOTHING:
        yield item
    raise AuthenticationFailed("the key is wrong: set VMPILOT_API_KEY")


async def yields_rubbish() -> AsyncGenerator[Any, None]:
    yield 7


@pytest.mark.parametrize(
    ("generate", "exit_code", "told"),
    [
        (nothing, 5, "backend fake ended the turn without an answer"),
        (no_end, 5, "without an answer"),
        (calls_only, 5, "without an answer"),
        (crash, 5, "backend fake failed: ZeroDivisionError: by zero"),
        (refuse, 1, "the key is wrong: set VMPILOT_API_KEY"),
        (yields_rubbish, 5, "int"),
    ],
)
async def test_a_failed_backend_ends_the_turn_with_an_error_message(
    runner: TurnRunner, generate: Callable[..., Any], exit_code: int, told: str
) -> None:
    events = await runner.run_turn(generate)
    end = end_of(events)
    assert (end.reason, end.exit_code) == ("failed", exit_code)
    assert told in (end.error or "")
    partial = [event.message for event in events if isinstance(event, MessageCompleted) and event.message.text]
    expected = [AssistantMessage("So far.", finish="cut")] if generate in {no_end, crash} else []
    assert partial == expected
    assert (await runner.conversation.log.read())[-1] == end


async def test_calls_that_were_never_run_get_a_result(runner: TurnRunner) -> None:
    events = await runner.run_turn(calls_only)
    (finished,) = [event for event in events if isinstance(event, ToolFinished)]
    assert finished.result.call_id == "a"
    assert "Canceled before it started" in finished.result.text


@pytest.mark.parametrize(
    ("finish", "reason", "exit_code"),
    [("length", "limit", 3), ("content_filter", "failed", 1), ("refusal", "failed", 1), ("cut", "failed", 1)],
)
async def test_an_answer_that_was_cut(runner: TurnRunner, finish: Any, reason: str, exit_code: int) -> None:
    async def cut() -> Items:
        yield MessageCompleted(AssistantMessage("Half", finish=finish))

    end = end_of(await runner.run_turn(cut))
    assert (end.reason, end.exit_code, end.error is None) == (reason, exit_code, reason == "limit")


async def test_limits_apply_to_a_backend_that_bypasses_supervision(runner: TurnRunner, fake_tool: MakeTool) -> None:
    async def for_ever(toolbox: Toolbox) -> Items:
        for number in range(100):
            call = ToolCall(f"c{number}", "work", "{}")
            yield MessageCompleted(AssistantMessage(tool_calls=(call,), finish="tool_calls"))
            await toolbox.call(call)

    tool = fake_tool(work)
    events = await runner.run_turn(for_ever, tool, max_steps=3)
    assert (end_of(events).reason, end_of(events).exit_code) == ("limit", 3)
    assert [event.maximum for event in events if isinstance(event, LimitReached)] == [3]
    assert len(tool.runs) == 3


async def test_ids_of_a_backend_that_bypasses_supervision_are_made_unique(
    runner: TurnRunner, fake_tool: MakeTool
) -> None:
    async def careless(toolbox: Toolbox) -> Items:
        for number in range(3):
            calls = (ToolCall("", "work", f'{{"n": {number}}}'), ToolCall("call_1", "work", f'{{"n": {number + 10}}}'))
            yield MessageCompleted(AssistantMessage(tool_calls=calls, finish="tool_calls"))
            results = await toolbox.call_all(calls)
            assert [result.call_id for result in results] == ["", "call_1"]
        yield "Done."

    tool = fake_tool(work)
    for _ in range(2):
        assert end_of(await runner.run_turn(careless, tool)).reason == "answered"
    assert [run["n"] for run in tool.runs] == [0, 10, 1, 11, 2, 12] * 2
    log = await runner.conversation.log.read()
    asked = [call.id for event in log if isinstance(event, MessageCompleted) for call in event.message.tool_calls]
    assert len(set(asked)) == len(asked) == 12
    assert [event.result.call_id for event in log if isinstance(event, ToolFinished)] == asked


async def test_a_message_beyond_the_limit_is_kept(runner: TurnRunner, fake_tool: MakeTool) -> None:
    events = await runner.run_turn(tools_then_answer, fake_tool(work), max_total_tokens=15)
    assert (end_of(events).reason, end_of(events).usage) == ("limit", Usage(30, 12))
    assert [event.message.text for event in events if isinstance(event, MessageCompleted)] == ["", "Done."]
    assert [event.limit for event in events if isinstance(event, LimitReached)] == ["tokens"]


async def test_unreported_usage_is_estimated_from_the_text(runner: TurnRunner, fake_tool: MakeTool) -> None:
    async def silent(toolbox: Toolbox) -> Items:
        yield MessageCompleted(ASKS.message)
        await toolbox.call(CALL)
        yield "Done."

    await runner.run_turn(silent, fake_tool(work), text="x" * 40_000)
    events = await runner.run_turn(silent, fake_tool(work), max_total_tokens=9_000)
    assert end_of(events).reason == "limit"
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "m does not report token usage, so the limits of this request use an estimate."
    ]
    (reached,) = [event for event in events if isinstance(event, LimitReached)]
    assert "Stopped after 10," in reached.text


async def test_when_the_time_is_up_the_command_ends_and_its_output_is_kept(
    runner: TurnRunner, fake_tool: MakeTool
) -> None:
    ended: list[str] = []

    async def wait(_arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        on_output("so far\n")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("tool")
        raise AssertionError

    events = await runner.run_turn(tools_then_answer, fake_tool(wait), max_seconds=0.2)
    end = end_of(events)
    assert (end.reason, end.exit_code, end.error) == ("limit", 3, None)
    assert 0.15 < end.seconds < 5
    assert ended == ["tool"]
    kinds = [type(event) for event in events]
    assert kinds[-3:] == [ToolFinished, LimitReached, TurnEnded]
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "0.16 of the 0.2 seconds of this request are used (--max-seconds)."
    ]
    (result,) = [event.result for event in events if isinstance(event, ToolFinished)]
    assert result.text.startswith("so far\n[Interrupted. The call may have had partial")
    (reached,) = [event for event in events if isinstance(event, LimitReached)]
    assert (reached.limit, reached.maximum) == ("seconds", 0.2)
    assert [type(event) for event in await runner.conversation.log.read()][-3:] == [
        ToolFinished,
        LimitReached,
        TurnEnded,
    ]


async def test_when_the_time_is_up_the_partial_answer_is_kept(runner: TurnRunner) -> None:
    events = await runner.run_turn(endless, max_seconds=0.05)
    assert end_of(events).reason == "limit"
    (message,) = [event.message for event in events if isinstance(event, MessageCompleted)]
    assert message == AssistantMessage("So far.", finish="cut")


async def test_waiting_for_the_user_does_not_count_as_time(runner: TurnRunner, fake_tool: MakeTool) -> None:
    async def approve(_request: ApprovalRequested) -> bool:
        await asyncio.sleep(1.2)
        return True

    policy = PermissionPolicy("operate", workspace=Path("/"), confines=lambda: True)
    events = await runner.run_turn(tools_then_answer, fake_tool(work), policy=policy, approver=approve, max_seconds=1.0)
    end = end_of(events)
    assert end.reason == "answered"
    assert end.seconds < 1.0


async def test_a_stop_before_a_limit_is_the_reason(runner: TurnRunner) -> None:
    turn = runner.turn(endless, max_seconds=0.05)
    events = []
    async for event in turn.events():
        events.append(event)
        turn.stop()
    assert end_of(events).reason == "interrupted"
    assert not any(isinstance(event, LimitReached) for event in events)


async def test_a_notice_is_emitted_but_not_logged(runner: TurnRunner) -> None:
    async def notice() -> Items:
        yield Notice("Mind the gap.")
        yield ANSWERS

    events = await runner.run_turn(notice)
    assert Notice("Mind the gap.") in events
    assert Notice("Mind the gap.") not in await runner.conversation.log.read()


async def endless(toolbox: Toolbox, model_calls: ModelCalls) -> Items:
    yield TextDelta("So far.")
    await asyncio.Event().wait()


async def test_a_turn_can_be_stopped_at_any_time(runner: TurnRunner) -> None:
    """Even before the turn's task has started, and even twice."""
    for rounds in range(12):
        turn = runner.turn(endless)
        seen: list[Event] = []

        async def consume(turn: Any = turn, seen: list[Event] = seen) -> None:
            seen += [event async for event in turn.events()]

        consumer = asyncio.create_task(consume())
        for _ in range(rounds):
            await asyncio.sleep(0)
        turn.stop()
        turn.stop()
        async with asyncio.timeout(5):
            await consumer
        assert end_of(seen).reason == "interrupted"
        assert turn.over
    assert [type(event) for event in await runner.conversation.log.read()].count(TurnEnded) == 12


async def test_a_stop_during_a_write_leaves_log_and_memory_consistent(
    runner: TurnRunner, store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = runner.conversation.workspace
    runner.conversation = await Conversation.open(await store.create(), folder)
    turn = runner.turn(tools_then_answer)
    append = ConversationLog.append

    async def stopped_append(log: ConversationLog, *events: Event) -> None:
        if events[0] is ASKS:
            turn.stop()
        await append(log, *events)

    monkeypatch.setattr(ConversationLog, "append", stopped_append)
    events = [event async for event in turn.events()]
    assert end_of(events).reason == "interrupted"
    assert await runner.conversation.log.read() == tuple(events)
    history = runner.conversation.history(UserMessage.from_text("Next."))
    await runner.conversation.close()
    again = await Conversation.open(await store.open(runner.conversation.id), folder)
    assert again.history(UserMessage.from_text("Next.")) == history
    await again.close()


async def test_closing_stops_the_backend_and_the_tool(runner: TurnRunner, fake_tool: MakeTool) -> None:
    ended: list[str] = []

    async def wait(_arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        on_output("begun")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("tool")
        raise AssertionError

    async def generate(toolbox: Toolbox) -> Items:
        try:
            yield ASKS
            await toolbox.call(CALL)
        finally:
            ended.append("backend")

    events = runner.turn(generate, fake_tool(wait)).events()
    async for event in events:
        if isinstance(event, ToolOutput):
            break
    await events.aclose()
    assert ended == ["tool", "backend"]
    log = await runner.conversation.log.read()
    assert isinstance(log[-2], ToolFinished)
    assert "may have had partial effects" in log[-2].result.text
    assert isinstance(log[-1], TurnEnded)


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_write_error_of_the_log_stops_the_turn_before_its_next_effect(
    runner: TurnRunner, fake_tool: MakeTool, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    append = ConversationLog.append
    count = 0

    async def failing_append(log: ConversationLog, *events: Event) -> None:
        nonlocal count
        count += 1
        if count > lost:
            raise StoreError("the disk is full: free some space")
        await append(log, *events)

    monkeypatch.setattr(ConversationLog, "append", failing_append)
    tool = fake_tool(work)
    events = await runner.run_turn(tools_then_answer, tool)
    end = end_of(events)
    assert (end.reason, end.exit_code, end.error) == ("failed", 1, "the disk is full: free some space")
    assert len(tool.runs) == (0 if lost < 2 else 1)
    shown = tuple(event for event in events if not isinstance(event, TextDelta | TurnEnded))
    stored = await runner.conversation.log.read()
    assert stored == shown[: len(stored)]
    # Only a message that asked for tools may be seen before it is stored: it goes to disk with the start of the first.
    assert [type(event) for event in shown[len(stored) :]] == ([MessageCompleted] if lost == 1 else [])


async def test_a_write_error_of_the_log_at_a_limit(runner: TurnRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    append = ConversationLog.append

    async def failing_append(log: ConversationLog, *events: Event) -> None:
        if isinstance(events[0], LimitReached):
            raise StoreError("the disk is full")
        await append(log, *events)

    monkeypatch.setattr(ConversationLog, "append", failing_append)

    async def cut() -> Items:
        yield MessageCompleted(AssistantMessage("Half", finish="length"))

    assert end_of(await runner.run_turn(cut)).error == "the disk is full"


async def test_a_conversation_interrupted_during_a_call_is_repaired_once(
    store: ConversationStore, tmp_path: Path
) -> None:
    log = await store.create()
    await log.append(TurnStarted("c", "t", UserMessage.from_text("1"), "fake", "m", time=0.0), ASKS)
    await log.close()
    for _ in range(2):
        opened = await Conversation.open(await store.open(log.conversation_id), Workspace(tmp_path))
        assert [type(event) for event in await opened.log.read()] == [TurnStarted, MessageCompleted, ToolFinished]
        await opened.close()


async def test_the_working_folder_is_restored_from_the_log(store: ConversationStore, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    log = await store.create()
    result = (await _result(log, str(tmp_path / "sub")), await _result(log, None))
    assert all(result)
    workspace = Workspace(tmp_path)
    opened = await Conversation.open(log, workspace)
    assert workspace.folder == tmp_path / "sub"
    await opened.close()


async def _result(log: ConversationLog, folder: str | None) -> ToolFinished:
    from vmpilot.contract import ToolResult

    finished = ToolFinished(ToolResult("x", "shell", ""), seconds=0.0, folder=folder)
    await log.append(finished)
    return finished
