"""Backends whose calls to the model have a fault: what they send, how they parse replies and handle failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Any

import httpx
import msgspec
from tests.core.testing.conformance.reference import Reference

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    Message,
    MessageCompleted,
    ModelCall,
    ModelError,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from vmpilot.contract.messages import UserMessage


class Rewriting(Reference):
    """Base of backends that change single events of a model call."""

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        async with aclosing(super().ask(call)) as events:
            async for event in events:
                for rewritten in self.rewrite(event):
                    yield rewritten

    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        yield event


class Failing(Reference):
    """Base of backends that mishandle a failed model call."""

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        begun = False
        try:
            async with aclosing(super().ask(call)) as events:
                async for event in events:
                    begun = True
                    yield event
        except ModelError as error:
            async with aclosing(self.recover(call, error, begun=begun)) as events:
                async for event in events:
                    yield event

    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        raise NotImplementedError


def with_message(event: MessageCompleted, **changes: Any) -> MessageCompleted:
    return MessageCompleted(msgspec.structs.replace(event.message, **changes), event.usage)


class DoublesADelta(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        yield event
        if isinstance(event, TextDelta) and event.text.strip() == "two":
            yield event


class HoldsTheTextBack(Rewriting):
    """Emits everything at once, when the model is done."""

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        text = ""
        async with aclosing(Reference.ask(self, call)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    text += event.text
                    continue
                if isinstance(event, MessageCompleted) and text:
                    yield TextDelta(text)
                yield event


class StripsTheText(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted):
            event = with_message(event, text=event.message.text.strip())
        yield event


class DropsReasoning(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted):
            event = with_message(event, reasoning="")
        if not isinstance(event, ReasoningDelta):
            yield event


class IsSilentDuringCalls(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if not isinstance(event, ToolCallDelta):
            yield event


class CompletesTwice(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted) and event.message.tool_calls and event.message.text == "First I look.":
            yield with_message(event, tool_calls=(), text=event.message.text)
        yield event


class NeverCompletes(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if not isinstance(event, MessageCompleted):
            yield event


class MakesHalfCallsWhole(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted) and event.message.tool_calls:
            event = with_message(event, finish="tool_calls")
        yield event


class CallsAllEndsProper(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted) and not event.message.tool_calls:
            event = with_message(event, finish="stop")
        yield event


class InventsUsage(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted) and event.usage is None:
            event = MessageCompleted(event.message, Usage(1, 1))
        yield event


class ForgetsCachedTokens(Rewriting):
    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted) and event.usage and event.message.text == "All is well.":
            event = MessageCompleted(event.message, msgspec.structs.replace(event.usage, cached_tokens=0))
        yield event


class IgnoresTemperature(Reference):
    def write_body(self, call: ModelCall) -> dict[str, Any]:
        body = super().write_body(call)
        body.pop("temperature", None)
        return body


class DropsTemperatureZero(Reference):
    def write_body(self, call: ModelCall) -> dict[str, Any]:
        body = super().write_body(call)
        return {name: value for name, value in body.items() if name != "temperature" or value}


class HasItsOwnDefaults(Reference):
    def write_body(self, call: ModelCall) -> dict[str, Any]:
        return {"seed": 1, **super().write_body(call)}


class KeepsTheProvidersName(Reference):
    def write_body(self, call: ModelCall) -> dict[str, Any]:
        return {**super().write_body(call), "model": call.model}


class Forging(Reference):
    """Base of backends that send other messages than requested."""

    def write_body(self, call: ModelCall) -> dict[str, Any]:
        return super().write_body(msgspec.structs.replace(call, messages=self.forge(call.messages)))

    def forge(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(map(self.forge_message, messages))

    def forge_message(self, message: Message) -> Message:
        return message


class SaysReasoningAloud(Forging):
    def forge_message(self, message: Message) -> Message:
        if not isinstance(message, AssistantMessage) or message.tool_calls or not message.reasoning.startswith("A"):
            return message
        return msgspec.structs.replace(message, text=f"{message.reasoning}{message.text}")


class SendsOpaqueDataToAnybody(Forging):
    def forge_message(self, message: Message) -> Message:
        return msgspec.structs.replace(message, provider="openai") if isinstance(message, AssistantMessage) else message


class DropsImages(Forging):
    def forge_message(self, message: Message) -> Message:
        return UserMessage.from_text(message.text) if isinstance(message, UserMessage) else message


class ForgetsTheFirstTurns(Forging):
    def forge(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return messages[-20:]


class MendsArguments(Rewriting):
    """Completes truncated JSON, as libraries with a partial JSON parser do."""

    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted):
            calls = [ToolCall(call.id, call.name, self.mend(call.arguments)) for call in event.message.tool_calls]
            event = with_message(event, tool_calls=tuple(calls))
        yield event

    def mend(self, arguments: str) -> str:
        whole = arguments.startswith('{"') and not arguments.endswith("}")
        return arguments + '"}' if whole else arguments


class SwallowsErrors(Failing):
    """Treats a truncated stream as an answer."""

    async def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        yield MessageCompleted(AssistantMessage(f"Error: {error}"))


class RetriesByItself(Failing):
    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        if begun or not error.retryable:
            raise error
        return Reference.ask(self, call)


class RaisesTheLibrarysErrors(Failing):
    """Lets httpx's status errors propagate."""

    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        cause = error.__cause__
        if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == 404:
            raise cause from None
        raise error


class LosesTheCause(Failing):
    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        error.__cause__ = None
        raise error


class QuotesTheKey(Failing):
    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        key = call.settings.api_key
        if "Incorrect API key provided:" not in str(error) or key is None:
            raise error
        raise type(error)(f"{error} ({key.reveal()})") from error


class FollowsRedirects(Failing):
    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        cause = error.__cause__
        if not (isinstance(cause, httpx.HTTPStatusError) and cause.response.is_redirect):
            raise error
        place = cause.response.headers["location"].removesuffix("/chat/completions")
        moved = msgspec.structs.replace(call, settings=msgspec.structs.replace(call.settings, base_url=place))
        return Reference.ask(self, moved)


class KeepsItsConnection(Reference):
    """Reads the answer in a separate task that is never ended."""

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        queue: asyncio.Queue[BackendEvent | Exception | None] = asyncio.Queue()

        async def read() -> None:
            try:
                async with aclosing(Reference.ask(self, call)) as events:
                    async for event in events:
                        await queue.put(event)
            except ModelError as error:
                await queue.put(error)
            await queue.put(None)

        self._task = asyncio.ensure_future(read())
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


class BlocksTheLoop(Reference):
    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        """Make one blocking call, as a synchronous library does, then behave like the reference."""
        body = {**self.write_body(call), "stream": False}
        body.pop("stream_options", None)
        with suppress(httpx.HTTPError):
            httpx.post(  # noqa: ASYNC210  that is its fault
                f"{call.settings.base_url}/chat/completions", json=body, timeout=60.0, trust_env=False
            )
        async with aclosing(super().ask(call)) as events:
            async for event in events:
                yield event
