"""The level `tools`: the model's calls go to the toolbox unchanged, and the results go back to the model."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from vmpilot.contract import ToolCall, ToolResult
from vmpilot.testing.conformance.case import Case, case, check, check_equal, shown
from vmpilot.testing.conformance.harness import (
    DONE,
    NOTE,
    SHELL,
    Harness,
    describe,
    find_role,
    roles,
    shell_call,
    text_of,
)
from vmpilot.testing.fakes import ScriptedToolbox
from vmpilot.testing.script import Reply, ScriptedCall
from vmpilot.testing.strict import history_faults

_ASKS = Reply(tool_calls=(shell_call(),))
_BROKEN = ('{"command": "rm -rf /srv', '["uptime"]', "", '{"command": "a", "command": "b"}', '{"command": 1}{}')


@case("tools", "contract.md#what-a-turn-is")
async def tools_are_offered(harness: Harness) -> None:
    """Each request has the name, description and schema of every tool."""
    turn = await harness.run_turn(_ASKS, DONE, tools=(SHELL, NOTE))
    for body in (turn.body(0), turn.body(1)):
        functions = [tool.get("function", {}) for tool in body.get("tools") or []]
        told = [(one.get("name"), one.get("description"), one.get("parameters")) for one in functions]
        wanted = [(tool.name, tool.description, dict(tool.parameters)) for tool in (SHELL, NOTE)]
        check_equal(told, wanted, "the tools")


@case("tools", "contract.md#what-the-core-gives")
async def one_call(harness: Harness) -> None:
    """A call goes to the toolbox with its id, its name and its arguments as the model wrote them."""
    call = ScriptedCall("shell", '{ "command":"echo Grüße 😀" }', id="call_x9", chunks=3)
    turn = await harness.run_turn(Reply(tool_calls=(call,)), DONE)
    check_equal(turn.toolbox.calls, [ToolCall("call_x9", "shell", call.argument_text)], "the toolbox's calls")


@case("tools", "contract.md#messages")
async def call_in_the_message(harness: Harness) -> None:
    """The message contains the call and ends with `tool_calls`."""
    turn = await harness.run_turn(_ASKS, DONE)
    check_equal([message.finish for message in turn.messages], ["tool_calls", "stop"], "the ends")
    check_equal(turn.messages[0].tool_calls, (ToolCall("call_1", "shell", '{"command": "uptime"}'),), "the calls")


@case("tools", "contract.md#what-the-core-gives")
async def result_goes_back(harness: Harness) -> None:
    """The model is called again with the call and the toolbox's result, unchanged."""
    text = "  3 days\n\n世界 😀 \\n {}\t"
    turn = await harness.run_turn(_ASKS, DONE, toolbox=ScriptedToolbox(lambda _: text))
    check_equal(roles(turn.sent(1)), ["system", "user", "assistant", "tool"], "the roles")
    check_equal(text_of(turn.sent(1)[3]), text, "the result")
    check_equal(turn.answer.text, "It is done.", "the answer")


@case("tools", "conformance.md#tools")
async def ids_are_kept(harness: Harness) -> None:
    """The call ids are sent back to the model unchanged, in the message and in the result."""
    turn = await harness.run_turn(Reply(tool_calls=(shell_call(call_id="call_Zx-9_0"),)), DONE)
    sent = [call.get("id") for message in turn.sent(1) for call in message.get("tool_calls") or ()]
    answered = [message.get("tool_call_id") for message in find_role(turn.sent(1), "tool")]
    check_equal((sent, answered), (["call_Zx-9_0"], ["call_Zx-9_0"]), "the ids of call and result")


@case("tools", "conformance.md#tools")
async def call_as_written(harness: Harness) -> None:
    """The call in the history is the model's, with its arguments unchanged."""
    call = ScriptedCall("shell", '{ "command":"echo Grüße" }', id="call_1")
    turn = await harness.run_turn(Reply(tool_calls=(call,)), DONE)
    functions = [call["function"] for message in turn.sent(1) for call in message.get("tool_calls") or ()]
    check_equal(functions, [{"name": "shell", "arguments": call.argument_text}], "the call in the history")


@case("tools", "conformance.md#tools")
async def text_beside_a_call(harness: Harness) -> None:
    """Text that the model writes next to a call is in the message and in the next request."""
    turn = await harness.run_turn(Reply("First I look.", tool_calls=(shell_call(),)), DONE)
    check_equal(turn.messages[0].text, "First I look.", "the text of the first message")
    check_equal([text_of(message) for message in find_role(turn.sent(1), "assistant")], ["First I look."], "sent back")


@case("tools", "contract.md#the-grammar-of-a-turn")
async def several_steps(harness: Harness) -> None:
    """The loop continues until the model answers without a call, each time with the complete history."""
    steps = [Reply(tool_calls=(shell_call(f"step {number}", f"call_{number}"),)) for number in range(4)]
    turn = await harness.run_turn(*steps, DONE)
    check_equal([call.id for call in turn.toolbox.calls], [f"call_{number}" for number in range(4)], "the calls")
    check_equal(roles(turn.sent(4)), ["system", "user", *["assistant", "tool"] * 4], "the roles of the last request")
    check_equal(history_faults(turn.body(4)), (), "faults of the last request:")
    check_equal(turn.answer.text, "It is done.", "the answer")


@case("tools", "contract.md#what-the-core-gives")
async def unknown_tool(harness: Harness) -> None:
    """A call of an unknown tool also goes to the toolbox, which reports the error to the model."""
    call = ScriptedCall("make_tea", {"sugar": 2}, id="call_1")
    toolbox = ScriptedToolbox(lambda call: ToolResult(call.id, call.name, "There is no such tool.", is_error=True))
    turn = await harness.run_turn(Reply(tool_calls=(call,)), DONE, toolbox=toolbox)
    check_equal([call.name for call in toolbox.calls], ["make_tea"], "the toolbox's calls")
    check_equal(text_of(turn.sent(1)[-1]), "There is no such tool.", "the result sent to the model")


@case("tools", "contract.md#messages")
async def broken_arguments(harness: Harness) -> None:
    """Arguments that are not a JSON object go to the toolbox unchanged: they are not repaired or completed."""
    for arguments in _BROKEN:
        call = ScriptedCall("shell", arguments, id="call_1")
        turn = await harness.run_turn(Reply(tool_calls=(call,)), DONE)
        check_equal([call.arguments for call in turn.toolbox.calls], [arguments], "the toolbox's arguments")


@case("tools", "contract.md#ends")
async def half_call(harness: Harness) -> None:
    """A message truncated by a limit says so, and its calls do not run."""
    call = ScriptedCall("shell", '{"command": "rm -rf /srv"}', id="call_1")
    turn = await harness.run_turn(Reply(tool_calls=(call,), finish="length"), DONE)
    check_equal(turn.messages[0].finish if turn.messages else "no message", "length", "the end")
    check_equal(turn.toolbox.calls, [], "no executed calls, but got")


@case("tools", "contract.md#ends")
async def other_ends(harness: Harness) -> None:
    """The ends `length`, `content_filter` and `cut` (unknown reasons) are reported, not turned into proper ends."""
    for told, finish in (("length", "length"), ("content_filter", "content_filter"), ("because", "cut")):
        turn = await harness.run_to_the_end(Reply("It was going to", finish=told))
        check_equal(turn.answer.finish, finish, f"the finish reason of a message whose provider sent {told!r},")


@case("tools", "contract.md#what-the-core-gives")
async def failing_tool(harness: Harness) -> None:
    """A failed tool call is a normal result: the model gets it, and the turn continues."""
    toolbox = ScriptedToolbox(lambda call: ToolResult(call.id, call.name, "Denied: ask the user.", is_error=True))
    turn = await harness.run_turn(_ASKS, DONE, toolbox=toolbox)
    check_equal(text_of(turn.sent(1)[-1]), "Denied: ask the user.", "the result sent to the model")
    check_equal(turn.answer.text, "It is done.", "the answer")


@case("tools", "contract.md#what-the-core-gives")
async def only_the_toolbox(harness: Harness) -> None:
    """Only the toolbox runs commands: the backend itself runs none."""
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder, "ran")
        call = ScriptedCall("shell", {"command": f"touch {mark}"}, id="call_1")
        await harness.run_turn(Reply(tool_calls=(call,)), DONE)
        ran = await asyncio.to_thread(mark.exists)
        check(not ran, "no command run outside the toolbox", "a command that was run")


@case("tools", "contract.md#the-write-ahead-rule")
async def message_before_its_calls(harness: Harness) -> None:
    """A call's message is yielded once: before the call, or while the call waits for it."""
    toolbox = ScriptedToolbox()
    await harness.run_turn(_ASKS, DONE, toolbox=toolbox)
    check(not toolbox.faults, "calls in the order of the write-ahead rule", shown(toolbox.faults))


@case("tools", "contract.md#the-grammar-of-a-turn")
async def the_model_has_the_last_word(harness: Harness) -> None:
    """The turn ends only after the model has received the results and answered."""
    turn = await harness.run_to_the_end(_ASKS, DONE)
    check(bool(turn.messages) and not turn.messages[-1].tool_calls, "an answer as the last message", describe(turn))


TOOLS: tuple[Case, ...] = (
    tools_are_offered,
    one_call,
    call_in_the_message,
    result_goes_back,
    ids_are_kept,
    call_as_written,
    text_beside_a_call,
    several_steps,
    unknown_tool,
    broken_arguments,
    half_call,
    other_ends,
    failing_tool,
    only_the_toolbox,
    message_before_its_calls,
    the_model_has_the_last_word,
)
