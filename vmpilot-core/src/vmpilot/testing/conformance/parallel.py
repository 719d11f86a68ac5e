"""The level `parallel`: several calls in one message."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from vmpilot.contract import ToolCall, ToolResult
from vmpilot.testing.conformance.case import Case, case, check_equal
from vmpilot.testing.conformance.harness import DONE, Harness, find_role, shell_call, text_of
from vmpilot.testing.fakes import ScriptedToolbox
from vmpilot.testing.script import Reply
from vmpilot.testing.strict import history_faults

_COUNT = 3
_IDS = [f"call_{number}" for number in range(_COUNT)]
_THREE = Reply("All three.", tool_calls=tuple(shell_call(f"step {call_id}", call_id) for call_id in _IDS))


@case("parallel", "conformance.md#parallel")
async def all_run(harness: Harness) -> None:
    """Each call of the message goes to the toolbox, once."""
    turn = await harness.run_turn(_THREE, DONE)
    check_equal(sorted(call.id for call in turn.toolbox.calls), _IDS, "the executed calls to be")


@case("parallel", "contract.md#what-the-core-gives")
async def side_by_side(harness: Harness) -> None:
    """The toolbox gets all calls at once: it decides which calls run concurrently, not the backend."""
    together = asyncio.Barrier(_COUNT)

    async def meet(_call: ToolCall) -> str:
        try:
            async with asyncio.timeout(harness.patience / 2):
                await together.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            await together.abort()
            return "alone"
        return "together"

    turn = await harness.run_turn(_THREE, DONE, toolbox=ScriptedToolbox(meet))
    met = [text_of(message) for message in find_role(turn.sent(1), "tool")]
    check_equal(met, ["together"] * _COUNT, "calls that can wait for each other")


@case("parallel", "conformance.md#parallel")
async def results_in_order(harness: Harness) -> None:
    """The results are sent back in the order of the calls, each with its id, regardless of which finished first."""
    finished = {call_id: asyncio.Event() for call_id in _IDS}

    async def last_comes_first(call: ToolCall) -> str:
        later = _IDS[_IDS.index(call.id) + 1 :]
        if later:
            with suppress(TimeoutError):  # sequential execution is not what this case tests
                await asyncio.wait_for(finished[later[0]].wait(), harness.patience / 2 / _COUNT)
        finished[call.id].set()
        return f"result of {call.id}"

    turn = await harness.run_turn(_THREE, DONE, toolbox=ScriptedToolbox(last_comes_first))
    results = [(message.get("tool_call_id"), text_of(message)) for message in find_role(turn.sent(1), "tool")]
    check_equal(results, [(call_id, f"result of {call_id}") for call_id in _IDS], "the results")


@case("parallel", "conformance.md#parallel")
async def one_fails(harness: Harness) -> None:
    """A failed call stops neither the other calls nor the turn."""

    def fail_first(call: ToolCall) -> ToolResult:
        return ToolResult(call.id, call.name, f"{call.id} says so", is_error=call.id == _IDS[0])

    turn = await harness.run_turn(_THREE, DONE, toolbox=ScriptedToolbox(fail_first))
    told = sorted(text_of(message) for message in find_role(turn.sent(1), "tool"))
    check_equal(told, [f"{call_id} says so" for call_id in _IDS], "the results sent to the model")
    check_equal(turn.answer.text, "It is done.", "the answer")


@case("parallel", "conformance.md#parallel")
async def one_message(harness: Harness) -> None:
    """Calls of one message stay in one message, both yielded and sent back."""
    turn = await harness.run_turn(_THREE, DONE)
    check_equal([len(message.tool_calls) for message in turn.messages], [_COUNT, 0], "calls in the messages:")
    sent = [len(message.get("tool_calls") or ()) for message in find_role(turn.sent(1), "assistant")]
    check_equal(sent, [_COUNT], "calls in the messages sent back:")
    check_equal(history_faults(turn.body(1)), (), "faults of the request:")


@case("parallel", "conformance.md#parallel")
async def twins(harness: Harness) -> None:
    """Two calls of the same tool with the same arguments are two calls."""
    calls = (shell_call("date", "call_a"), shell_call("date", "call_b"))
    turn = await harness.run_turn(Reply(tool_calls=calls), DONE)
    check_equal(sorted(call.id for call in turn.toolbox.calls), ["call_a", "call_b"], "the executed calls to be")


PARALLEL: tuple[Case, ...] = (all_run, side_by_side, results_in_order, one_fails, one_message, twins)
