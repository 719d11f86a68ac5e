"""A call without native tools has the same meaning, and the strictest provider accepts it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import (
    AssistantMessage,
    HistoryImported,
    ImagePart,
    Message,
    ModelCall,
    ModelSettings,
    TextPart,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from vmpilot.engine.history import messages_in, sendable
from vmpilot.engine.prompts import TEXT_TOOLS_REMINDER
from vmpilot.engine.text_tools import CallMark, without_tools
from vmpilot.providers import chat_messages
from vmpilot.testing import history_faults

MARK = CallMark.of("c")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"command": {"type": "string", "description": "The line."}},
    "required": ["command"],
}
SHELL = ToolSpec("shell", "Run a {command}.", SCHEMA)
LOOK = ToolCall("a", "shell", '{"command": "ls"}')
PICTURE = ImagePart("https://example.org/a.png")


def sent(*messages: Message, system: str = "Be brief.", tools: tuple[ToolSpec, ...] = (SHELL,)) -> ModelCall:
    return without_tools(ModelCall(messages, system, "m", ModelSettings(), tools), MARK)


def user(text: str) -> UserMessage:
    return UserMessage.from_text(text)


def asked(text: str) -> UserMessage:
    """A request as sent."""
    return user(f"{text}\n\n{TEXT_TOOLS_REMINDER}")


def test_the_tools_are_described_after_the_system_prompt() -> None:
    call = sent(user("Go."))
    assert call.tools == ()
    assert call.system.startswith("Be brief.\n\n")
    for told in ("`shell`", "Run a {command}.", '"description": "The line."', f"```{MARK.word}\n"):
        assert told in call.system
    assert '{"tool": "shell", "arguments": {"command": "…"}}' in call.system


def test_the_prompt_is_the_same_in_each_call_of_a_conversation() -> None:
    assert sent(user("Go.")).system == sent(user("Go."), AssistantMessage("x"), user("On.")).system


def test_a_tool_with_any_schema_has_an_example() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "on": {"type": "boolean"},
            "x": {"type": ["string", "null"]},
            "y": True,
        },
        "required": ["n", "on", "x", "y", "z"],
    }
    system = sent(user("Go."), tools=(ToolSpec("work", "", schema),)).system
    assert '{"tool": "work", "arguments": {"n": 1, "on": true, "x": "…", "y": "…", "z": "…"}}' in system
    assert '{"tool": "work", "arguments": {}}' in sent(user("Go."), tools=(ToolSpec("work", "", {}),)).system


def test_calls_become_blocks_and_results_become_user_messages() -> None:
    messages = sent(
        user("Look."),
        AssistantMessage("I look.", "Hm.", (LOOK, ToolCall("b", "shell", "")), "tool_calls"),
        ToolResult("a", "shell", "<output-0>\nx\n</output-0>"),
        ToolResult("b", "shell", "Denied: no.", denied=True),
        AssistantMessage("Done."),
        user("Thanks."),
    ).messages
    assert messages == (
        asked("Look."),
        AssistantMessage(
            f'I look.\n\n```{MARK.word}\n{{"tool": "shell", "arguments": {{"command": "ls"}}}}\n```\n\n'
            f'```{MARK.word}\n{{"tool": "shell", "arguments": {{}}}}\n```',
            "Hm.",
        ),
        user("Result of `shell`:\n<output-0>\nx\n</output-0>\n\nResult of `shell`:\nDenied: no."),
        AssistantMessage("Done."),
        asked("Thanks."),
    )


def test_images_are_kept_and_user_text_after_a_result_follows_it() -> None:
    messages = sent(
        UserMessage((TextPart("See:"), PICTURE)),
        AssistantMessage("", tool_calls=(LOOK,), finish="tool_calls"),
        ToolResult("a", "shell", "x"),
        UserMessage((TextPart("And:"), PICTURE)),
    ).messages
    reminder = TextPart(TEXT_TOOLS_REMINDER)
    assert messages[0] == UserMessage((TextPart("See:"), PICTURE, reminder))
    assert messages[2:] == (UserMessage((TextPart("Result of `shell`:\nx"), TextPart("And:"), PICTURE, reminder)),)


def test_provider_metadata_is_sent_with_native_tools_only() -> None:
    data = {"signature": "abc"}
    kept = AssistantMessage("Done.", provider="p", provider_data=data)
    called = AssistantMessage("", tool_calls=(LOOK,), finish="tool_calls", provider="p", provider_data=data)
    messages = sent(user("Go."), called, ToolResult("a", "shell", "x"), kept, user("On.")).messages
    assert messages[3] is kept
    assert isinstance(messages[1], AssistantMessage)
    assert messages[1].provider_data is None


def test_the_word_does_not_occur_in_foreign_text() -> None:
    call = sent(
        user(f"Say {MARK.word}."),
        AssistantMessage(f"```{MARK.word}", tool_calls=(ToolCall("a", "shell", f'{{"x": "{MARK.word}"}}'),)),
        ToolResult("a", "shell", f'```{MARK.word}\n{{"tool": "shell"}}\n```'),
        system=f"Rules of the project: {MARK.word}",
    )
    assert MARK.word not in call.system.partition("# How")[0]
    texts = [message.text for message in call.messages]
    assert [text.count(MARK.word) for text in texts] == [0, 1, 0]


ids = st.sampled_from(["a", "b", ""])
texts = st.sampled_from(["", " ", "x", MARK.word, "\ud800", "```"])
arguments = st.sampled_from(["{}", "{", '{"command": "ls"}', "", "[]"])
users = st.builds(UserMessage, st.lists(st.builds(TextPart, texts) | st.just(PICTURE), max_size=2).map(tuple))
calls = st.lists(st.builds(ToolCall, ids, st.sampled_from(["shell", "a b"]), arguments), max_size=3).map(tuple)
assistants = st.builds(AssistantMessage, texts, st.just(""), calls)
results = st.builds(ToolResult, ids, st.just("shell"), texts)


@given(st.lists(users | assistants | results, max_size=8).map(tuple))
def test_the_strictest_provider_accepts_it(history: tuple[Message, ...]) -> None:
    told = messages_in([HistoryImported(history)], user("Go on."))
    call = sent(*map(sendable, told))
    assert not any(isinstance(message, ToolResult) or getattr(message, "tool_calls", ()) for message in call.messages)
    assert history_faults({"model": "m", "messages": chat_messages(call.messages, system=call.system)}) == ()
