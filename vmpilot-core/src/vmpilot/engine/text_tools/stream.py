"""A backend's function for one call to the model, as one that needs no tools from the model or its server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    MessageCompleted,
    ModelCall,
    ReasoningDelta,
    StreamOnce,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from vmpilot.engine.text_tools.envelope import FoundCall
from vmpilot.engine.text_tools.mark import CallMark
from vmpilot.engine.text_tools.quotes import Quotes
from vmpilot.engine.text_tools.reader import AnswerReader
from vmpilot.engine.text_tools.rewriting import without_tools


def over_text(stream_once: StreamOnce, *, conversation_id: str) -> StreamOnce:
    """`stream_once` by the text protocol: it is asked without tools, and the calls are recovered from the text.

    A stream that goes on behind the calls is closed; its usage is then unknown. A call without tools passes as it is.
    A cache belongs around this, not within: what is sent names the conversation's mark.
    """
    mark = CallMark.of(conversation_id)

    async def stream(call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        answer = _Answer(call, mark) if call.tools else None
        async with aclosing(stream_once(without_tools(call, mark) if call.tools else call)) as events:
            async for event in events:
                if answer is None:
                    yield event
                    continue
                for made in answer.take(event):
                    yield made
                if answer.is_cut:
                    return

    return stream


class _Answer:
    """One answer: the backend's events in, those with the calls out. `is_cut` once nothing more is to be read."""

    def __init__(self, call: ModelCall, mark: CallMark) -> None:
        self.is_cut = False
        self._streaming = call.settings.streaming
        self._reader = AnswerReader(
            word=mark.word, tools={tool.name for tool in call.tools}, is_quoted=Quotes(call.messages).have
        )
        self._has_text = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._native = 0

    def take(self, event: BackendEvent) -> Iterator[BackendEvent]:
        """What comes of the event; of text that is held back, an empty piece of a call as a sign of life."""
        match event:
            case TextDelta():
                yield from self._take_text(event)
            case MessageCompleted():
                yield from self._complete(event)
            case ReasoningDelta():
                self._reasoning.append(event.text)
                yield event
            case ToolCallDelta():
                self._native = max(self._native, event.position + 1)
                yield event
            case _:
                yield event

    def _take_text(self, event: TextDelta) -> Iterator[BackendEvent]:
        self._has_text = True
        made = [*self._say(self._reader.feed(event.text)), *self._new_calls()]
        yield from made or [ToolCallDelta(self._native + len(self._calls))]
        if self._reader.is_over and self._streaming:
            self.is_cut = True
            yield MessageCompleted(self._message(AssistantMessage(reasoning="".join(self._reasoning))))

    def _complete(self, event: MessageCompleted) -> Iterator[BackendEvent]:
        message = event.message
        if not self._has_text:
            yield from self._say(self._reader.feed(message.text))
        yield from self._say(self._reader.finish(proper=message.ended_properly))
        yield from self._new_calls()
        yield MessageCompleted(self._message(message), event.usage)

    def _say(self, text: str) -> Iterator[BackendEvent]:
        if text:
            self._text.append(text)
            yield TextDelta(text)

    def _new_calls(self) -> Iterator[BackendEvent]:
        for found in self._reader.calls[len(self._calls) :]:
            yield ToolCallDelta(self._native + len(self._calls), found.arguments, found.name)
            self._calls.append(_with_id(found))

    def _message(self, message: AssistantMessage) -> AssistantMessage:
        """The message with the text that was streamed, and the calls that were found in it."""
        finish = "tool_calls" if self._calls and message.ended_properly else message.finish
        return msgspec.structs.replace(
            message, text="".join(self._text), tool_calls=(*message.tool_calls, *self._calls), finish=finish
        )


def _with_id(found: FoundCall) -> ToolCall:
    return ToolCall(f"call_{secrets.token_hex(8)}", found.name, found.arguments)
