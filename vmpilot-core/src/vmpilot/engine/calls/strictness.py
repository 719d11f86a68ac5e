"""Checks that a message is a usable answer."""

from __future__ import annotations

from vmpilot.contract import AssistantMessage, BadResponse, StreamInterrupted


def check_answer(message: AssistantMessage) -> None:
    """Raises `StreamInterrupted` or `BadResponse` if the message has no end or no content."""
    if message.finish == "cut":
        raise StreamInterrupted("the model's answer was cut off")
    if message.finish == "tool_calls" and not message.tool_calls:
        raise BadResponse("the model announced tool calls but sent none")
    if message.ended_properly and not message.text.strip() and not message.tool_calls:
        only = "only reasoning, no answer" if message.reasoning else "an empty answer"
        raise BadResponse(f"the model returned {only}")
