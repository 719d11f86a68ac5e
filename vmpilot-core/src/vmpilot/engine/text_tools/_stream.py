"""Wraps a backend's function for one model call so that the model and its server need no tool support."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    ModelCall,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from vmpilot.engine.text_tools._envelope import FoundCall
from vmpilot.engine.text_tools._mark import CallMark
from vmpilot.engine.text_tools._quotes import Quotes
from vmpilot.engine.text_tools._reader import AnswerReader


class TextToolsAnswer:
    """One answer to `without_tools(call, mark)`: separates the model's output into text and calls.

    `is_over` is true once the rest is to be ignored, because the model continues after its calls.
    """

    def __init__(self, call: ModelCall, mark: CallMark) -> None:
        self._streaming = call.settings.streaming
        self._reader = AnswerReader(
            word=mark.word, tools={tool.name for tool in call.tools}, is_quoted=Quotes(call.messages).have
        )
        self._has_text = False
        self._calls: list[ToolCall] = []
        self._native = 0

    @property
    def is_over(self) -> bool:
        return self._reader.is_over and self._streaming

    def take(self, event: BackendEvent) -> Iterator[BackendEvent]:
        """The events for a chunk of the answer; text that may be part of a call is held back."""
        match event:
            case TextDelta():
                self._has_text = True
                yield from self._read(self._reader.feed(event.text))
            case ToolCallDelta():
                self._native = max(self._native, event.position + 1)
                yield event
            case _:
                yield event

    def finish(self, message: AssistantMessage) -> Iterator[BackendEvent]:
        """The events for text still held back at the end of the answer."""
        if not self._has_text:
            yield from self._read(self._reader.feed(message.text))
        yield from self._read(self._reader.finish(proper=message.ended_properly))

    def complete(self, message: AssistantMessage, *, text: str) -> AssistantMessage:
        """The message with the resulting text and the calls that were found."""
        finish = "tool_calls" if self._calls and message.ended_properly else message.finish
        return msgspec.structs.replace(
            message, text=text, tool_calls=(*message.tool_calls, *self._calls), finish=finish
        )

    def _read(self, text: str) -> Iterator[BackendEvent]:
        if text:
            yield TextDelta(text)
        for found in self._reader.calls[len(self._calls) :]:
            yield ToolCallDelta(self._native + len(self._calls), found.arguments, found.name)
            self._calls.append(_with_id(found))


def _with_id(found: FoundCall) -> ToolCall:
    return ToolCall(f"call_{secrets.token_hex(8)}", found.name, found.arguments)
