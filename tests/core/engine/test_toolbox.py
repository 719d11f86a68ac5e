from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    ApprovalRequested,
    AssistantMessage,
    ChangesFiles,
    MessageCompleted,
    ReadsFiles,
    RunsCommand,
    StoreError,
    ToolCall,
    ToolError,
    ToolFinished,
    ToolOutcome,
    ToolOutput,
    ToolResult,
    ToolStarted,
)
from vmpilot.permissions import Rules

if TYPE_CHECKING:
    from tests.core.engine.conftest import Bench, FakeTool

    MakeBench = Callable[..., Bench]
    MakeTool = Callable[..., FakeTool]

A, B = ToolCall("a", "work", '{"n": 1}'), ToolCall("b", "work", '{"n": 2}')


async def done(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
    return ToolOutcome("done")


async def test_a_call_runs_after_its_message_is_recorded(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    tool = fake_tool(done)
    bench = make_bench(tool)
    assert (await bench.toolbox.call(A)).is_error
    assert tool.runs == []
    await bench.message(A)
    assert await bench.toolbox.call(A) == ToolResult("a", "work", "done")
    assert tool.runs == [{"n": 1}]
    assert [type(event) for event in (await bench.events())[1:]] == [ToolStarted, ToolFinished]


async def test_a_call_without_a_recorded_message_is_not_run(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    tool = fake_tool(done)
    bench = make_bench(tool)
    await bench.message(A)
    result = await bench.toolbox.call(B)
    assert result.is_error
    assert "not part of a recorded message" in result.text
    assert tool.runs == []


async def test_a_repeated_call_returns_the_same_result_without_running_again(
    make_bench: MakeBench, fake_tool: MakeTool
) -> None:
    tool = fake_tool(done)
    bench = make_bench(tool)
    await bench.message(A)
    first = await bench.toolbox.call(A)
    second, third = await bench.toolbox.call_all([A, A])
    assert first is second is third
    assert len(tool.runs) == 1
    assert len([event for event in await bench.events() if isinstance(event, ToolFinished)]) == 1


async def test_the_recorded_call_is_the_one_that_runs(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    tool = fake_tool(done)
    bench = make_bench(tool)
    await bench.message(A)
    await bench.toolbox.call(ToolCall("a", "work", '{"n": 999}'))
    assert tool.runs == [{"n": 1}]


async def test_a_crash_is_reported_to_the_model(
    make_bench: MakeBench, fake_tool: MakeTool, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(_arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        on_output("so far\n")
        raise ZeroDivisionError("by zero")

    bench = make_bench(fake_tool(crash))
    await bench.message(A)
    result = await bench.toolbox.call(A)
    assert result == ToolResult("a", "work", "The tool failed: ZeroDivisionError: by zero", is_error=True)
    assert [event.text for event in await bench.events() if isinstance(event, ToolOutput)] == ["so far\n"]
    assert "tool work failed" in caplog.text


async def test_a_tool_error_is_reported_in_its_own_words(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    async def refuse(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        raise ToolError("There is no such folder: make it first.")

    bench = make_bench(fake_tool(refuse))
    await bench.message(A)
    assert (await bench.toolbox.call(A)).text == "There is no such folder: make it first."


async def test_a_tool_that_cancels_itself_has_failed(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    async def give_up(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        raise asyncio.CancelledError

    bench = make_bench(fake_tool(give_up))
    await bench.message(A)
    result = await bench.toolbox.call(A)
    assert result.is_error
    assert "may have had partial effects" in result.text


async def test_a_canceled_call_ends_its_tool_before_it_returns(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def wait(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            ended.append("ended")
        raise AssertionError

    bench = make_bench(fake_tool(wait))
    await bench.message(A)
    call = asyncio.create_task(bench.toolbox.call(A))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == ["ended"]


async def test_results_arrive_in_the_order_of_the_calls(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    bench = make_bench(fake_tool(done))
    await bench.message(A, B)
    assert [result.call_id for result in await bench.toolbox.call_all([B, A])] == ["b", "a"]
    assert await bench.toolbox.call_all([]) == ()


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal", "cut"])
async def test_calls_of_an_incomplete_message_are_rejected(
    make_bench: MakeBench, fake_tool: MakeTool, finish: str
) -> None:
    tool = fake_tool(done)
    bench = make_bench(tool)
    await bench.message(A, finish=finish)
    result = await bench.toolbox.call(A)
    assert result.is_error
    assert "cut off" in result.text
    assert tool.runs == []


async def test_output_and_result_are_masked(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    async def leak(_arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        for piece in ("my ses", "ame is out", " ses"):
            on_output(piece)
        return ToolOutcome("my sesame is out ses")

    bench = make_bench(fake_tool(leak), secrets=("sesame",))
    await bench.message(A)
    result = await bench.toolbox.call(A)
    live = [event.text for event in await bench.events() if isinstance(event, ToolOutput)]
    assert result.text == "".join(live) == "my [masked] is out ses"
    assert live[0] == "my "


async def test_a_log_error_is_not_a_tool_error(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    async def lose_log(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        raise StoreError("the disk is full")

    bench = make_bench(fake_tool(lose_log))
    await bench.message(A)
    with pytest.raises(StoreError, match="full"):
        await bench.toolbox.call(A)


async def test_approvals_are_requested_one_at_a_time(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    open_questions: list[str] = []
    most = 0

    async def approve(request: ApprovalRequested) -> bool:
        nonlocal most
        open_questions.append(request.call.id)
        most = max(most, len(open_questions))
        await asyncio.sleep(0.01)
        open_questions.remove(request.call.id)
        return request.call.id == "a"

    tool = fake_tool(done)
    bench = make_bench(tool, mode="operate", approver=approve)
    await bench.message(A, B)
    first, second = await bench.toolbox.call_all([A, B])
    assert most == 1
    assert (first.denied, second.denied) == (False, True)
    assert tool.runs == [{"n": 1}]
    assert bench.toolbox.denied_last


async def test_a_later_message_with_calls_clears_the_denial(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    bench = make_bench(fake_tool(done), mode="observe")
    await bench.message(A)
    await bench.toolbox.call(A)
    assert bench.toolbox.denied_last
    await bench.message(finish="stop", text="Sorry.")
    assert bench.toolbox.denied_last
    await bench.message(B)
    assert not bench.toolbox.denied_last


async def test_a_call_whose_effect_has_changed_is_not_run(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    async def approve(_request: ApprovalRequested) -> bool:
        tool.effects = [ChangesFiles((Path("/elsewhere"),))]
        return True

    tool = fake_tool(done, effects=[ChangesFiles((Path("/here"),))])
    bench = make_bench(tool, mode="operate", approver=approve)
    await bench.message(A)
    result = await bench.toolbox.call(A)
    assert result.is_error
    assert "changed after it was allowed" in result.text
    assert tool.runs == []


async def test_a_waiting_call_whose_effect_has_changed_is_not_run(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    async def look(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        await asyncio.sleep(0)
        tool.effects = [ChangesFiles((Path("/elsewhere"),))]
        return ToolOutcome("seen")

    tool = fake_tool(done, effects=[ChangesFiles((Path("/here"),))])
    bench = make_bench(tool, fake_tool(look, name="look", effects=[ReadsFiles((Path("/here"),))]))
    calls = (ToolCall("l", "look", "{}"), A)
    await bench.message(*calls)
    seen, changed = await bench.toolbox.call_all(calls)
    assert not seen.is_error
    assert "changed after it was allowed" in changed.text
    assert tool.runs == []


async def test_an_approval_names_the_exact_call(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    asked: list[ApprovalRequested] = []

    async def approve(request: ApprovalRequested) -> bool:
        asked.append(request)
        return True

    tool = fake_tool(done)
    bench = make_bench(tool, mode="operate", approver=approve)
    again = ToolCall("c", "work", '{"n":1}')
    await bench.message(A, B, again)
    await bench.toolbox.call_all([A, B, again])
    assert asked[0].digest == asked[2].digest != asked[1].digest
    assert all(len(request.digest) == 64 for request in asked)


@pytest.mark.parametrize("mode", ["full", "operate"])
async def test_a_masked_value_is_never_written_back(make_bench: MakeBench, fake_tool: MakeTool, mode: str) -> None:
    async def approve(_request: ApprovalRequested) -> bool:
        return True

    tool = fake_tool(done, effects=[RunsCommand("echo KEY=[masked] > .env", Path("/"))])
    bench = make_bench(tool, mode=mode, approver=approve)
    await bench.message(A)
    result = await bench.toolbox.call(A)
    assert result.is_error
    assert "stands for a secret" in result.text
    assert tool.runs == []


async def test_a_secret_in_a_title_is_masked(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    bench = make_bench(fake_tool(done, name="work hunter2-hunter2"), secrets=("hunter2-hunter2",))
    call = ToolCall("a", "work hunter2-hunter2", "{}")
    await bench.message(call)
    await bench.toolbox.call(call)
    (started,) = [event for event in await bench.events() if isinstance(event, ToolStarted)]
    assert started.title == "work [masked]"


async def test_a_command_is_shown_as_it_runs(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    tool = fake_tool(done, name="work hunter2-hunter2", effects=[RunsCommand("work", Path("/"))])
    bench = make_bench(tool, secrets=("hunter2-hunter2",))
    call = ToolCall("a", "work hunter2-hunter2", "{}")
    await bench.message(call)
    await bench.toolbox.call(call)
    (started,) = [event for event in await bench.events() if isinstance(event, ToolStarted)]
    assert started.title == "work hunter2-hunter2"


async def test_a_rule_that_denies_is_not_blamed_on_the_mode(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    bench = make_bench(fake_tool(done), rules=Rules.read(deny=["work"]))
    await bench.message(A)
    result = await bench.toolbox.call(A)
    assert result.denied
    assert "Only the user can change that rule" in result.text
    assert "--mode" not in result.text


async def test_calls_beyond_the_64th_of_a_message_are_rejected(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    tool = fake_tool(done)
    bench = make_bench(tool)
    calls = [ToolCall(f"c{number}", "work", f'{{"n": {number}}}') for number in range(70)]
    await bench.message(*calls)
    results = await bench.toolbox.call_all(calls)
    assert [result.is_error for result in results] == [False] * 64 + [True] * 6
    assert "at most 64 calls" in results[64].text
    assert len(tool.runs) == 64


async def test_a_repeated_call_gets_a_remark(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    bench = make_bench(fake_tool(done))
    results = []
    for number in range(5):
        call = ToolCall(f"c{number}", "work", '{"n": 1}' if number % 2 else '{ "n" : 1 }')
        await bench.message(call)
        results.append(await bench.toolbox.call(call))
    assert [bool(result.remark) for result in results] == [False, False, True, True, True]
    assert {result.text for result in results} == {"done"}
    assert [event.result for event in await bench.events() if isinstance(event, ToolFinished)] == results


async def test_calls_with_the_same_id_get_a_result_each(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    """As seen by a backend that does not use `ModelCalls`."""

    async def tell(arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        return ToolOutcome(f"{arguments}")

    tool = fake_tool(tell)
    bench = make_bench(tool)
    asked = [ToolCall("", "work", '{"n": 1}'), ToolCall("", "work", '{"n": 2}'), ToolCall("", "work", '{"n": 2}')]
    own = [ToolCall(f"call_{number}", call.name, call.arguments) for number, call in enumerate(asked)]
    await bench.journal.record(
        MessageCompleted(message := AssistantMessage(tool_calls=tuple(own), finish="tool_calls"))
    )
    bench.toolbox.message_recorded(message, asked=asked)
    results = await bench.toolbox.call_all([asked[1], asked[0], asked[2]])
    assert [result.text for result in results] == ["{'n': 2}", "{'n': 1}", "{'n': 2}"]
    assert {result.call_id for result in results} == {""}
    assert len(tool.runs) == 3
    again = await bench.toolbox.call(asked[1])
    assert again.text == "{'n': 2}"
    assert len(tool.runs) == 3
    finished = [event.result.call_id for event in await bench.events() if isinstance(event, ToolFinished)]
    assert sorted(finished) == ["call_0", "call_1", "call_2"]


async def test_a_tool_that_cannot_name_its_effect_has_failed(
    make_bench: MakeBench, fake_tool: MakeTool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_arguments: Mapping[str, Any]) -> Any:
        raise OSError(36, "File name too long", "hunter2-hunter2")

    tool = fake_tool(done)
    monkeypatch.setattr(tool, "effect", fail)
    bench = make_bench(tool, secrets=("hunter2-hunter2",))
    await bench.message(A)
    result = await bench.toolbox.call(A)
    assert result.is_error
    assert "The tool failed: OSError: [Errno 36] File name too long: '[masked]'" in result.text
    assert "tool work failed" in caplog.text


async def test_output_before_the_cancellation_of_a_call_is_kept(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    begun = asyncio.Event()

    async def wait(_arguments: Mapping[str, Any], on_output: Callable[[str], None]) -> ToolOutcome:
        on_output("half of it, \x1b[1mhunter2-hunter2\x1b[0m, ")
        on_output("hunter")
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    bench = make_bench(fake_tool(wait), secrets=("hunter2-hunter2",))
    await bench.message(A)
    call = asyncio.create_task(bench.toolbox.call(A))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert bench.toolbox.outputs == {"a": "half of it, [masked], hunter"}


async def test_the_user_is_asked_within_the_given_context(make_bench: MakeBench, fake_tool: MakeTool) -> None:
    state: list[str] = []

    @contextmanager
    def asking() -> Iterator[None]:
        state.append("asking")
        yield
        state.append("asked")

    async def approve(_request: ApprovalRequested) -> bool:
        state.append("approve")
        return True

    async def run(_arguments: Mapping[str, Any], _on_output: Callable[[str], None]) -> ToolOutcome:
        state.append("run")
        return ToolOutcome("done")

    bench = make_bench(fake_tool(run), mode="operate", approver=approve, asking=asking)
    await bench.message(A)
    await bench.toolbox.call(A)
    assert state == ["asking", "approve", "asked", "run"]
