"""The level `resume`: a conversation from any backend continues in a form that the strictest provider accepts."""

from __future__ import annotations

from vmpilot.contract import (
    AssistantMessage,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    ToolResult,
    UserMessage,
)
from vmpilot.testing.conformance.case import Case, case, check, check_equal, shown
from vmpilot.testing.conformance.harness import (
    DONE,
    QUESTION,
    Harness,
    TurnResult,
    find_role,
    need_model_calls,
    roles,
    shell_call,
    text_of,
)
from vmpilot.testing.fakes import RetryingModelCalls
from vmpilot.testing.script import Reply
from vmpilot.testing.strict import history_faults

_PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_GO_ON = UserMessage.from_text("Go on.")


async def _go_on(harness: Harness, *history: Message) -> TurnResult:
    """Run a turn after this history; the request must be valid."""
    turn = await harness.run_turn(Reply("Yes."), messages=(*history, _GO_ON))
    check_equal(history_faults(turn.body(0)), (), "faults of the request:")
    return turn


def _asked(*calls: ToolCall, text: str = "") -> AssistantMessage:
    return AssistantMessage(text, tool_calls=calls, finish="tool_calls")


@case("resume", "conformance.md#resume")
async def earlier_turns(harness: Harness) -> None:
    """The complete history is sent, in order."""
    texts = [f"{who} {number}" for number in range(30) for who in ("question", "answer")]
    history = [AssistantMessage(text) if text.startswith("answer") else UserMessage.from_text(text) for text in texts]
    turn = await _go_on(harness, *history)
    sent = [text_of(message) for message in turn.sent(0)[1:]]
    check_equal(sent, [*texts, "Go on."], "the messages")
    check_equal(roles(turn.sent(0))[1:], ["user", "assistant"] * 30 + ["user"], "the roles")


@case("resume", "conformance.md#resume")
async def calls_and_results(harness: Harness) -> None:
    """Calls and results of earlier turns are sent as calls and results, with their ids."""
    calls = (ToolCall("old_1", "shell", '{"command": "uptime"}'), ToolCall("old_2", "shell", '{"command": "date"}'))
    results = [ToolResult(call.id, call.name, f"result of {call.id}") for call in calls]
    turn = await _go_on(harness, QUESTION, _asked(*calls, text="Both."), *results, AssistantMessage("There."))
    check_equal(roles(turn.sent(0))[1:], ["user", "assistant", "tool", "tool", "assistant", "user"], "the roles")
    told = [(message.get("tool_call_id"), text_of(message)) for message in find_role(turn.sent(0), "tool")]
    check_equal(told, [("old_1", "result of old_1"), ("old_2", "result of old_2")], "the results")
    sent = [
        (call.get("id"), call.get("function", {}).get("arguments"))
        for message in turn.sent(0)
        for call in message.get("tool_calls") or ()
    ]
    check_equal(sent, [(call.id, call.arguments) for call in calls], "the calls")


@case("resume", "contract.md#messages")
async def images(harness: Harness) -> None:
    """Images are sent as images, in order with the texts."""
    parts = (TextPart("Before."), ImagePart(_PIXEL, detail="low"), TextPart("Behind."))
    turn = await _go_on(harness, UserMessage(parts), AssistantMessage("A pixel."))
    content = find_role(turn.sent(0), "user")[0].get("content")
    came = content if isinstance(content, list) else []
    check_equal([part.get("type") for part in came], ["text", "image_url", "text"], "the kinds of the parts")
    check_equal(came[1].get("image_url", {}).get("url"), _PIXEL, "the image")


@case("resume", "conformance.md#resume")
async def reasoning_is_not_said(harness: Harness) -> None:
    """Reasoning of earlier turns is not sent as message text."""
    history = AssistantMessage("It is up.", reasoning="A secret thought.")
    turn = await _go_on(harness, QUESTION, history)
    said = [text_of(message) for message in find_role(turn.sent(0), "assistant")]
    check_equal(said, ["It is up."], "the assistant's messages")


@case("resume", "conformance.md#resume")
async def broken_call(harness: Harness) -> None:
    """A call with invalid arguments does not prevent the turn: `ModelCall`, which is sent, has harmless arguments."""
    call = ToolCall("old_1", "shell", '{"command": "rm -rf /srv')
    result = ToolResult("old_1", "shell", "Not run: the arguments are no JSON.", is_error=True)
    turn = await _go_on(harness, QUESTION, _asked(call), result, AssistantMessage("I see."))
    check_equal(roles(turn.sent(0))[1:], ["user", "assistant", "tool", "assistant", "user"], "the roles")


@case("resume", "conformance.md#resume")
async def interrupted_turn(harness: Harness) -> None:
    """An interrupted turn is continued with its recorded messages and results."""
    call = ToolCall("old_1", "shell", '{"command": "sleep 9"}')
    cut = AssistantMessage("It was going to", finish="cut")
    result = ToolResult("old_1", "shell", "Interrupted. The call may have had partial effects.", is_error=True)
    turn = await _go_on(harness, QUESTION, _asked(call), result, cut)
    told = [text_of(message) for message in turn.sent(0)[3:]]
    check_equal(
        told, ["Interrupted. The call may have had partial effects.", "It was going to", "Go on."], "the last messages"
    )


@case("resume", "contract.md#messages")
async def data_of_another_provider(harness: Harness) -> None:
    """Opaque data of another provider is not sent to this one."""
    signed = AssistantMessage(
        "It is up.", provider="anthropic", provider_data={"thinking_blocks": [{"signature": "c2lnbmF0dXJl"}]}
    )
    turn = await _go_on(harness, QUESTION, signed)
    check("c2lnbmF0dXJl" not in repr(turn.body(0)), "no data of another provider in the request", "its signature")


@case("resume", "contract.md#what-the-core-gives")
async def what_the_core_says(harness: Harness) -> None:
    """The messages of `ModelCall` are sent, even if the core has shortened the conversation."""
    history = (QUESTION, AssistantMessage("A long story."), _GO_ON)
    with harness.model(Reply(tool_calls=(shell_call(),)), DONE) as model:
        request = harness.request(model, messages=history)
        shortened = RetryingModelCalls(request, rewrite=lambda messages: messages[2:])
        turn = await harness.run_request(request, model, model_calls=shortened)
    need_model_calls(turn)
    if turn.error is not None:
        raise turn.error
    check_equal(roles(turn.sent(0)), ["system", "user"], "the roles of the first request")
    check_equal(roles(turn.sent(1)), ["system", "user", "assistant", "tool"], "the roles of the second request")


@case("resume", "conformance.md#resume")
async def goes_on_with_tools(harness: Harness) -> None:
    """After a turn with tools, the next turn can use tools again, and the complete history is sent."""
    call = ToolCall("old_1", "shell", '{"command": "uptime"}')
    history = (QUESTION, _asked(call), ToolResult("old_1", "shell", "3 days"), AssistantMessage("3 days."), _GO_ON)
    turn = await harness.run_turn(Reply(tool_calls=(shell_call(call_id="new_1"),)), DONE, messages=history)
    check_equal([call.id for call in turn.toolbox.calls], ["new_1"], "the executed calls to be")
    check_equal(history_faults(turn.body(1)), (), "faults of the second request:")
    told = [message.get("tool_call_id") for message in find_role(turn.sent(1), "tool")]
    check_equal(told, ["old_1", "new_1"], "the ids of the results")


@case("resume", "conformance.md#resume")
async def its_own_turn(harness: Harness) -> None:
    """The messages that a turn yields form a history that the next turn can continue."""
    steps = (Reply("First I look.", reasoning="Hm.", tool_calls=(shell_call(),)), Reply("It is up.", reasoning="So."))
    first = await harness.run_turn(*steps)
    check(len(first.messages) == 2, "two messages of the first turn", shown(first.messages))
    asked, answered = first.messages
    results = [ToolResult(call.id, call.name, "3 days") for call in asked.tool_calls]
    turn = await _go_on(harness, QUESTION, asked, *results, answered)
    said = [text_of(message) for message in find_role(turn.sent(0), "assistant")]
    check_equal(said, ["First I look.", "It is up."], "the assistant's messages")


RESUME: tuple[Case, ...] = (
    earlier_turns,
    calls_and_results,
    images,
    reasoning_is_not_said,
    broken_call,
    interrupted_turn,
    data_of_another_provider,
    what_the_core_says,
    goes_on_with_tools,
    its_own_turn,
)
