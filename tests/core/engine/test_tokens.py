from __future__ import annotations

import pytest

from vmpilot.contract import AssistantMessage, ImagePart, Message, TextPart, ToolCall, ToolResult, ToolSpec, UserMessage
from vmpilot.engine.tokens import TokenGauge, estimate_message_tokens, estimate_overhead, estimate_text_tokens

TEXT = "x" * 400


@pytest.mark.parametrize(
    ("message", "estimate"),
    [
        (UserMessage.from_text(TEXT), 104),
        (UserMessage((TextPart(TEXT), ImagePart("https://example.org/a.png", "low"))), 204),
        (UserMessage((ImagePart("data:image/png;base64," + "A" * 100_000),)), 1_004),
        (ToolResult("a", "shell", TEXT), 104),
        (AssistantMessage(TEXT, "thought " * 100), 104),
        (AssistantMessage("", tool_calls=(ToolCall("a", "shell", TEXT),)), 109),
        (AssistantMessage(TEXT, provider="p", provider_data={"s": TEXT}), 206),
    ],
)
def test_token_estimates_of_messages(message: Message, estimate: int) -> None:
    assert estimate_message_tokens(message) == estimate


def test_other_scripts_are_estimated_by_bytes() -> None:
    assert estimate_text_tokens("汉" * 400) == 300
    assert estimate_text_tokens("\ud800" * 4) == 3


def test_the_overhead_is_the_system_prompt_and_the_tools() -> None:
    assert estimate_overhead(TEXT, ()) == 100
    assert estimate_overhead(TEXT, (ToolSpec("shell", TEXT, {"type": "object"}),)) == 204


def test_the_token_count_of_the_provider_corrects_the_next_estimate() -> None:
    gauge = TokenGauge()
    assert (gauge.tokens(100), gauge.estimate(100)) == (100, 100)
    gauge.learn(100, 150)
    assert (gauge.tokens(1_000), gauge.estimate(1_500)) == (1_500, 1_000)


@pytest.mark.parametrize("told", [0, -1, 1, 10**12])
def test_an_impossible_count_is_ignored(told: int) -> None:
    gauge = TokenGauge()
    gauge.learn(1_000, told)
    gauge.learn(0, 10)
    assert gauge.tokens(1_000) == 1_000
