"""Which messages count as an answer: those with a proper or a marked end that say something."""

from __future__ import annotations

from vmpilot.contract import AssistantMessage, BadResponse, StreamInterrupted


def check_answer(message: AssistantMessage) -> None:
    """Raises `StreamInterrupted` or `BadResponse` where the message has no proper end or says nothing at all."""
    if message.finish == "cut":
        raise StreamInterrupted("the model's answer broke off before its end")
    if message.finish == "tool_calls" and not message.tool_calls:
        raise BadResponse("the model announced calls of tools, but sent none")
    if message.ended_properly and not message.text.strip() and not message.tool_calls:
        only = "only reasoning, no answer" if message.reasoning else "an empty answer"
        raise BadResponse(f"the model gave {only}")
