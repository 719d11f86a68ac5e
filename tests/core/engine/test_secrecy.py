"""Secrets in what comes from outside."""

from __future__ import annotations

from vmpilot.contract import AssistantMessage, ImagePart, TextPart, ToolResult, UserMessage
from vmpilot.engine.secrecy import masked_history, masked_request
from vmpilot.machine.secrets.masking import Masker

MASKER = Masker(["s3cret-value"])
IMAGE = ImagePart("data:image/png;base64,QQ==")


def test_a_request_keeps_all_but_the_secret() -> None:
    request = UserMessage((TextPart("TOKEN=s3cret-value\nHOME=/root"), IMAGE))
    assert masked_request(request, MASKER) == UserMessage((TextPart("TOKEN=[masked]\nHOME=/root"), IMAGE))


def test_a_history_is_masked_whoever_said_it() -> None:
    history = (
        UserMessage.from_text("s3cret-value"),
        AssistantMessage("it is s3cret-value"),
        ToolResult("1", "shell", "s3cret-value\n"),
    )
    assert masked_history(history, MASKER) == (
        UserMessage.from_text("[masked]"),
        AssistantMessage("it is [masked]"),
        ToolResult("1", "shell", "[masked]\n"),
    )
