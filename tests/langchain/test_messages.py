from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from vmpilot.contract import AssistantMessage, ImagePart, Message, TextPart, ToolCall, ToolResult, UserMessage
from vmpilot_backend_langchain.messages import convert_message, convert_messages

SIGNED: dict[str, Any] = {
    "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}],
    "additional_kwargs": {"id": "i"},
}


@pytest.mark.parametrize(
    ("message", "converted"),
    [
        (UserMessage.from_text("ü 🎉"), HumanMessage("ü 🎉")),
        (
            UserMessage(
                (TextPart("see"), ImagePart("https://x/y.png"), ImagePart("data:image/png;base64,AA==", "low"))
            ),
            HumanMessage(
                [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                ]
            ),
        ),
        (AssistantMessage("Yes."), AIMessage("Yes.")),
        (
            AssistantMessage("Look.", tool_calls=(ToolCall("a", "shell", '{"n": [1, {"ü": null}]}'),)),
            AIMessage("Look.", tool_calls=[{"name": "shell", "args": {"n": [1, {"ü": None}]}, "id": "a"}]),
        ),
        (ToolResult("a", "shell", "out"), ToolMessage("out", tool_call_id="a", name="shell")),
        (
            ToolResult("a", "shell", "denied", is_error=True, denied=True),
            ToolMessage("denied", tool_call_id="a", name="shell", status="error"),
        ),
        (
            AssistantMessage("Yes.", provider="anthropic", provider_data=SIGNED),
            AIMessage(SIGNED["content"], additional_kwargs=SIGNED["additional_kwargs"]),
        ),
        (AssistantMessage("Yes.", provider="gemini", provider_data=SIGNED), AIMessage("Yes.")),
        (
            AssistantMessage("Yes.", provider="anthropic", provider_data={"thinking_blocks": SIGNED["content"]}),
            AIMessage([*SIGNED["content"], {"type": "text", "text": "Yes."}]),
        ),
    ],
)
def test_conversion(message: Message, converted: BaseMessage) -> None:
    assert convert_message(message, provider="anthropic") == converted


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "", "null", "[" * 100_000])
def test_history_with_broken_arguments_is_valid(arguments: str) -> None:
    message = convert_message(AssistantMessage(tool_calls=(ToolCall("a", "shell", arguments),)), provider="x")
    assert isinstance(message, AIMessage)
    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [("a", "shell", {})]


def test_the_system_prompt_comes_first() -> None:
    history = (UserMessage.from_text("Hello."),)
    assert convert_messages(history, system="Be brief.", provider="x") == [
        SystemMessage("Be brief."),
        HumanMessage("Hello."),
    ]
    assert convert_messages(history, system="", provider="x") == [HumanMessage("Hello.")]
