from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import AssistantMessage, Message, ToolResult, UserMessage
from vmpilot.engine.outgoing import Outgoing, Prepared
from vmpilot.engine.tokens import estimate_tokens


def user(text: str) -> UserMessage:
    return UserMessage.from_text(text)


def test_messages_are_prepared_and_estimated_as_they_arrive() -> None:
    outgoing = Outgoing(Prepared("chat"))
    messages: list[Message] = [user("a\0bcd")]
    outgoing.take(messages)
    first = outgoing.ready[0]
    messages.append(AssistantMessage("Hm. " * 10))
    outgoing.take(tuple(messages))
    assert outgoing.ready == (user("a\ufffdbcd"), messages[1])
    assert outgoing.ready[0] is first
    assert outgoing.messages == messages
    assert outgoing.estimate == estimate_tokens(messages)


def test_replaced_messages_stay_replaced_while_the_rest_grows() -> None:
    outgoing = Outgoing(Prepared("chat"))
    outgoing.take([user("1"), AssistantMessage("2"), user("3")])
    outgoing.replace([user("short")])
    outgoing.take([user("1"), AssistantMessage("2"), user("3"), AssistantMessage("4")])
    assert outgoing.ready == (user("short"), AssistantMessage("4"))
    assert outgoing.estimate == estimate_tokens(outgoing.ready)


def test_a_different_history_of_the_backend_starts_over() -> None:
    outgoing = Outgoing(Prepared("chat"))
    outgoing.take([user("1"), AssistantMessage("2")])
    outgoing.replace([user("short")])
    outgoing.take([user("other")])
    assert outgoing.ready == (user("other"),)
    outgoing.take([])
    assert len(outgoing.ready) == outgoing.estimate == 0


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=6))
def test_without_a_replacement_the_messages_are_sent_as_given(rounds: list[list[str]]) -> None:
    outgoing = Outgoing(Prepared("chat"))
    for texts in rounds:
        messages = [user(text) for text in texts]
        outgoing.take(messages)
        assert list(outgoing.ready) == outgoing.messages == messages
        assert outgoing.estimate == estimate_tokens(messages)


def test_messages_prepared_in_one_turn_are_reused_in_the_next() -> None:
    prepared = Prepared("chat")
    result = ToolResult("a", "shell", "some output")
    first, estimate = prepared.of(result)
    assert prepared.of(result) == (first, estimate)
    assert prepared.of(result)[0] is first
