"""The level `streaming`: the answer is yielded as it arrives, once, and completely."""

from __future__ import annotations

from contextlib import aclosing

from vmpilot.contract import MessageCompleted, ReasoningDelta, TextDelta, ToolCallDelta
from vmpilot.testing.conformance.case import Case, case, check, check_equal
from vmpilot.testing.conformance.harness import DONE, Harness, describe, shell_call
from vmpilot.testing.script import Framing, Reply, Stall

_WORDS = Reply("one two three four five six")


@case("streaming", "contract.md#events")
async def comes_in_pieces(harness: Harness) -> None:
    """Text that the model sends in chunks is yielded in chunks, before its message."""
    turn = await harness.run_turn(_WORDS)
    deltas = [event for event in turn.events if isinstance(event, TextDelta)]
    check(len(deltas) >= 2, "at least 2 TextDelta events for a text in 6 chunks", describe(turn))
    before = turn.events[: turn.events.index(turn.completed[0])] if turn.completed else []
    check(bool(before), "the deltas before the message", describe(turn))


@case("streaming", "contract.md#the-grammar-of-a-turn")
async def deltas_make_the_message(harness: Harness) -> None:
    """The joined deltas are the message's text: nothing is missing, duplicated or added after it."""
    turn = await harness.run_turn(_WORDS)
    check_equal(turn.text, turn.answer.text, "the joined deltas to be the message's text")


@case("streaming", "conformance.md#streaming")
async def as_it_comes(harness: Harness) -> None:
    """The first chunk is yielded while the model is still answering."""
    with harness.model(Stall(3, Reply("one two three four"))) as model:
        async with aclosing(harness.turn(harness.request(model))) as events:
            await harness.hear(events)


@case("streaming", "conformance.md#streaming")
async def text_to_the_letter(harness: Harness) -> None:
    """Spaces, line ends, characters of any language and one-letter chunks are yielded unchanged."""
    pieces = ("  ", "Grüße", "\n\n", " ", "世", "界", "😀", "\t", "```\nx = '\\n'\n", " a\u0301 ")
    turn = await harness.run_turn(Reply(chunks=pieces))
    check_equal(turn.answer.text, "".join(pieces), "the text")


@case("streaming", "conformance.md#streaming")
async def any_packets(harness: Harness) -> None:
    """The text is the same however the stream is split into packets, even within a character."""
    for framing in (Framing(packet_bytes=7), Framing(one_blob=True), Framing(line_end="\r\n")):
        turn = await harness.run_turn(Reply("Grüße, 世界 😀!", framing=framing))
        check_equal(turn.answer.text, "Grüße, 世界 😀!", "the text")


@case("streaming", "contract.md#messages")
async def reasoning(harness: Harness) -> None:
    """The model's reasoning is the message's reasoning, not part of its text."""
    turn = await harness.run_turn(Reply("Yes.", reasoning="First I think. Then I speak."))
    check_equal(turn.answer.reasoning, "First I think. Then I speak.", "the reasoning")
    check_equal(turn.answer.text, "Yes.", "the text")


@case("streaming", "contract.md#events")
async def reasoning_in_pieces(harness: Harness) -> None:
    """Reasoning is yielded as it arrives, before the text, and its joined deltas are the message's reasoning."""
    turn = await harness.run_turn(Reply("Yes.", reasoning="First I think. Then I speak."))
    check(any(isinstance(event, ReasoningDelta) for event in turn.events), "ReasoningDelta", describe(turn))
    check_equal(turn.reasoning, turn.answer.reasoning, "the joined deltas to be the message's reasoning")
    kinds = [type(event) for event in turn.events if isinstance(event, ReasoningDelta | TextDelta)]
    check_equal(kinds, sorted(kinds, key=lambda kind: kind is TextDelta), "reasoning before text:")


@case("streaming", "contract.md#what-the-core-gives")
async def signs_of_life(harness: Harness) -> None:
    """Fragments of a tool call are yielded as the model writes it, so that it does not seem stalled."""
    turn = await harness.run_turn(Reply(tool_calls=(shell_call("echo one two three"),)), DONE)
    first = turn.events.index(turn.completed[0]) if turn.completed else 0
    pieces = [event for event in turn.events[:first] if isinstance(event, ToolCallDelta)]
    check(bool(pieces), "ToolCallDelta before the message with the call", describe(turn))


@case("streaming", "contract.md#the-grammar-of-a-turn")
async def one_message_for_each_call(harness: Harness) -> None:
    """Each call to the model yields one MessageCompleted, after all of its deltas."""
    turn = await harness.run_turn(Reply("First I look.", tool_calls=(shell_call(),)), _WORDS)
    check_equal(len(turn.completed), len(turn.bodies), "as many messages as calls to the model:")
    check(isinstance(turn.events[-1], MessageCompleted), "a MessageCompleted as the last event", describe(turn))


@case("streaming", "contract.md#what-a-turn-is")
async def in_one_piece(harness: Harness) -> None:
    """With `streaming` off, a non-streamed answer is requested, and the result is the same."""
    turn = await harness.run_turn(
        Reply("First I look.", tool_calls=(shell_call(),)), Reply("It is up.", reasoning="Hm."), streaming=False
    )
    check_equal([body.get("stream") or False for body in turn.bodies], [False, False], "no streams,")
    check_equal([message.text for message in turn.messages], ["First I look.", "It is up."], "the texts")
    check_equal([call.arguments for call in turn.toolbox.calls], ['{"command": "uptime"}'], "the arguments")


STREAMING: tuple[Case, ...] = (
    comes_in_pieces,
    deltas_make_the_message,
    as_it_comes,
    text_to_the_letter,
    any_packets,
    reasoning,
    reasoning_in_pieces,
    signs_of_life,
    one_message_for_each_call,
    in_one_piece,
)
