"""The form in which a conversation goes to one target: what is sent back, ids, the system prompt."""

from __future__ import annotations

from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    IdForm,
    ImagePart,
    Message,
    MessageCompleted,
    ModelCall,
    ModelSettings,
    RefusedMessages,
    TextPart,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from vmpilot.engine.calls import Endpoint
from vmpilot.engine.calls.message_form import MessageForm, usual_form, with_stored_ids
from vmpilot.providers import chat_messages

TOOLS = (ToolSpec("shell", "Run a command.", {"type": "object"}),)
EXTRA = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
SKIP = {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}
ASK = UserMessage.from_text("Go.")
NINE = IdForm(9, exact=True, alphabet="letters")


def called(*ids: str, reasoning: str = "", provider: str | None = None, **data: Any) -> AssistantMessage:
    calls = tuple(ToolCall(call_id, "shell", "{}") for call_id in ids)
    return AssistantMessage("", reasoning, calls, "tool_calls", provider, data or None)


def make_call(*messages: Message, model: str = "openai/m", tools: tuple[ToolSpec, ...] = TOOLS) -> ModelCall:
    return ModelCall((ASK, *messages), "Be brief.", model, ModelSettings(base_url="http://host/v1"), tools)


def send(form: MessageForm, call: ModelCall) -> ModelCall:
    return form.fit(call)[0]


def test_the_default_form_sends_the_call_unchanged() -> None:
    call = make_call(called("call_1", provider="openai", tool_calls=[EXTRA]))
    assert send(MessageForm(), call) is call


@pytest.mark.parametrize(
    ("model", "base_url", "form"),
    [
        ("mistral/mistral-large-latest", None, MessageForm(ids=NINE)),
        ("mistral/mistral-large-latest", "http://host/v1", MessageForm(ids=NINE)),
        ("gpt-4o", None, MessageForm(ids=IdForm(40, alphabet="printable"))),
        ("openai/gemini-3", "http://host/v1", MessageForm()),
        ("azure/x", "http://host/v1", MessageForm(ids=IdForm(40, alphabet="printable"))),
        ("anthropic/claude-sonnet-4-5", None, MessageForm(ids=IdForm(64))),
        ("bedrock/x", None, MessageForm(ids=IdForm(64))),
        ("deepseek/deepseek-chat", None, MessageForm(reasoning=True)),
        ("gemini/gemini-3-pro", None, MessageForm()),
        ("whatever", None, MessageForm()),
    ],
)
def test_the_form_known_for_a_provider(model: str, base_url: str | None, form: MessageForm) -> None:
    assert usual_form(model, base_url=base_url) == form
    assert Endpoint(model, ModelSettings(base_url=base_url)).form == form


def test_ids_are_translated_in_both_directions() -> None:
    repeated = AssistantMessage(tool_calls=(ToolCall("call_1", "shell", "{}"), ToolCall("AbCdEfGh1", "shell", "{}")))
    call = make_call(
        called("call_1", "AbCdEfGh1"), ToolResult("call_1", "shell", "a"), ToolResult("AbCdEfGh1", "s", "b")
    )
    asked, stored_ids = MessageForm(ids=NINE).fit(call)
    sent = asked.messages[1]
    assert isinstance(sent, AssistantMessage)
    translated, native = (one.id for one in sent.tool_calls)
    assert NINE.accepts(translated)
    assert native == "AbCdEfGh1"
    assert [message.call_id for message in asked.messages if isinstance(message, ToolResult)] == [translated, native]
    answer = AssistantMessage(tool_calls=(ToolCall(translated, "shell", "{}"), ToolCall("AbCdEfGh1", "shell", "{}")))
    assert with_stored_ids(MessageCompleted(answer), stored_ids) == MessageCompleted(repeated)


def test_reasoning_is_sent_back_with_each_answer_while_tools_are_offered() -> None:
    history = (called("a", reasoning="Hm."), ToolResult("a", "shell", ""), AssistantMessage("Done.", "So."), ASK)
    form = MessageForm(reasoning=True)
    asked = send(form, make_call(*history, called("b"), ToolResult("b", "shell", "")))
    sent = chat_messages(asked.messages, provider="openai")
    assert [one.get("reasoning_content") for one in sent if one["role"] == "assistant"] == ["Hm.", "So.", ""]
    plain = make_call(*history, tools=())
    asked = send(form, plain)
    assert not any("reasoning_content" in one for one in chat_messages(asked.messages, provider="openai"))


def test_data_of_another_provider_is_not_sent() -> None:
    foreign = called("a", reasoning="Hm.", provider="anthropic", thinking_blocks=[{"signature": "s"}])
    asked = send(MessageForm(reasoning=True, signatures=True), make_call(foreign))
    (sent,) = chat_messages(asked.messages[1:], provider="openai")
    assert sent["reasoning_content"] == "Hm."
    assert "thinking_blocks" not in sent
    assert sent["tool_calls"][0]["extra_content"] == SKIP["extra_content"]


@pytest.mark.parametrize(
    ("message", "signatures"),
    [
        (called("a", "b"), [SKIP, {}]),
        (called("a", "b", provider="openai", tool_calls=[EXTRA]), [EXTRA, {}]),
        (called("a", "b", provider="openai", tool_calls=[{}, EXTRA]), [{}, EXTRA]),
        (called("a", provider="openai", tool_calls="no list"), [SKIP]),
        (called("a__thought__c2ln"), [{}]),
        (AssistantMessage("Done."), None),
    ],
)
def test_only_calls_without_a_signature_get_the_placeholder(
    message: AssistantMessage, signatures: list[dict[str, Any]] | None
) -> None:
    asked = send(MessageForm(signatures=True), make_call(message))
    (sent,) = chat_messages(asked.messages[1:], provider="openai")
    found = [{name: call[name] for name in call if name == "extra_content"} for call in sent.get("tool_calls", [])]
    assert found == (signatures or [])


def test_rejected_members_are_omitted() -> None:
    message = called("a", provider="openai", tool_calls=[EXTRA], reasoning_details=[{"data": "x"}])
    asked = send(MessageForm(opaque_data=False), make_call(message))
    assert asked.messages[1] == called("a")


@pytest.mark.parametrize(
    ("first", "content"),
    [
        (ASK, (TextPart("Be brief.\n\nGo."),)),
        (
            UserMessage((ImagePart("https://host/a.png"), TextPart("Go."))),
            (TextPart("Be brief."), ImagePart("https://host/a.png"), TextPart("Go.")),
        ),
        (
            UserMessage((TextPart("Go."), ImagePart("https://host/a.png"))),
            (TextPart("Be brief.\n\nGo."), ImagePart("https://host/a.png")),
        ),
    ],
)
def test_the_system_prompt_is_folded_into_the_first_message(first: UserMessage, content: tuple[Any, ...]) -> None:
    call = ModelCall((first, AssistantMessage("Yes."), ASK), "Be brief.", "m", ModelSettings(base_url="http://h"), ())
    asked = send(MessageForm(system_role=False), call)
    assert (asked.system, asked.messages) == ("", (UserMessage(content), *call.messages[1:]))


def test_the_same_problem_is_fixed_once() -> None:
    endpoint = Endpoint("openai/m", ModelSettings(base_url="http://host/v1"))
    for problem in ("opaque_data", "signature_missing", "system_role"):
        refused = RefusedMessages(problem)
        assert endpoint.mend(refused)
        assert not endpoint.mend(refused)


def test_contradictory_demands_of_a_server_do_not_loop_forever() -> None:
    endpoint = Endpoint("openai/m", ModelSettings(base_url="http://host/v1"))
    tries = 0
    while endpoint.mend(RefusedMessages("reasoning_missing")) and endpoint.mend(RefusedMessages("opaque_data")):
        tries += 1
        assert tries < 10
