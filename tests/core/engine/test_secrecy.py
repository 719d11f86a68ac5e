"""Secrets in external input."""

from __future__ import annotations

from vmpilot.contract import AssistantMessage, ImagePart, TextPart, ToolResult, UserMessage
from vmpilot.engine.secrecy import masked_history, masked_request
from vmpilot.machine.secrets.masking import Masker

MASKER = Masker(["s3cret-value"])
IMAGE = ImagePart("data:image/png;base64,QQ==")


def test_only_the_secret_is_removed_from_a_request() -> None:
    request = UserMessage((TextPart("TOKEN=s3cret-value\nHOME=/root"), IMAGE))
    assert masked_request(request, MASKER) == UserMessage((TextPart("TOKEN=[masked]\nHOME=/root"), IMAGE))


def test_messages_of_every_role_are_masked() -> None:
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
