"""Backends with one fault each, and the case that is meant for it: all others still pass, but for those named."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from tests.core.testing.conformance.reference import Reference

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    ModelError,
    Notice,
    ReasoningDelta,
    StoreError,
    TextDelta,
    Toolbox,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnStopped,
    Usage,
    chat_messages,
    hookimpl,
)
from vmpilot.contract.messages import UserMessage


class Rewriting(Reference):
    """A base for those that change single events of a call to the model."""

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        async with aclosing(super().ask(call)) as events:
            async for event in events:
                for rewritten in self.rewrite(event):
                    yield rewritten

    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        yield event


class Framing(Reference):
    """A base for those that do something before a turn, or say something behind it."""

    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        for event in self.open(request):
            yield event
        async with aclosing(super().loop(request, toolbox, model_calls)) as events:
            async for event in events:
                yield event
        for event in self.close():
            yield event

    def open(self, _request: GenerationRequest) -> Iterator[BackendEvent]:
        yield from ()

    def close(self) -> Iterator[BackendEvent]:
        yield from ()


class Failing(Reference):
    """A base for those that do the wrong thing about a call to the model that failed."""

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
    """Says everything at once, when the model is done."""

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


class TalksAfterwards(Framing):
    def close(self) -> Iterator[BackendEvent]:
        yield Notice("The turn is over.")


class LeaksTheKey(Framing):
    def open(self, request: GenerationRequest) -> Iterator[BackendEvent]:
        key = request.settings.api_key
        yield Notice(f"Asking with {key.reveal() if key else 'nothing'}.")


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


class AddsUsageUp(Reference):
    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        total = None
        async with aclosing(super().loop(request, toolbox, model_calls)) as events:
            async for event in events:
                if isinstance(event, MessageCompleted) and event.usage:
                    total = event.usage if total is None else total + event.usage
                    yield MessageCompleted(event.message, total)
                else:
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


class SendsWhatItHad(Reference):
    """Sends its own history in place of what `ModelCall` says."""

    def begin(self, request: GenerationRequest) -> list[Message]:
        self.messages: list[Message] = list(request.messages)
        return self.messages

    def write_body(self, call: ModelCall) -> dict[str, Any]:
        return {**super().write_body(call), "messages": chat_messages(self.messages, system=call.system)}


class Forging(Reference):
    """A base for those that send other messages than they were told to."""

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


class KeepsStateBetweenTurns(Reference):
    """Goes on with the last turn's messages when the next one has no system prompt."""

    def __init__(self) -> None:
        self._before: list[Message] = []

    def begin(self, request: GenerationRequest) -> list[Message]:
        before = [] if request.system else self._before
        self._before = list(request.messages)
        return [*before, AssistantMessage("…"), *request.messages] if before else list(request.messages)


class MixesTurns(Reference):
    """Keeps the request of the turn under way where another turn finds it."""

    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        self._request = request
        await asyncio.sleep(0)
        async with aclosing(super().loop(self._request, toolbox, model_calls)) as events:
            async for event in events:
                yield event


class RunsCommandsItself(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        for call in answer.tool_calls:
            with suppress(ValueError, KeyError, TypeError):
                command = json.loads(call.arguments)["command"]
                if command.startswith("touch "):
                    process = await asyncio.create_subprocess_exec(*command.split(), stdout=subprocess.DEVNULL)
                    await process.wait()
        return await super().run_tools(answer, toolbox)


class SkipsUnknownTools(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        if answer.tool_calls[0].name == "make_tea":
            return [ToolResult(call.id, call.name, "There is no such tool.") for call in answer.tool_calls]
        return await super().run_tools(answer, toolbox)


class MendsArguments(Rewriting):
    """Completes JSON that broke off, as libraries with a parser for partial JSON do."""

    def rewrite(self, event: BackendEvent) -> Iterator[BackendEvent]:
        if isinstance(event, MessageCompleted):
            calls = [ToolCall(call.id, call.name, self.mend(call.arguments)) for call in event.message.tool_calls]
            event = with_message(event, tool_calls=tuple(calls))
        yield event

    def mend(self, arguments: str) -> str:
        whole = arguments.startswith('{"') and not arguments.endswith("}")
        return arguments + '"}' if whole else arguments


class HandsOverTwice(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        await super().run_tools(answer, toolbox)
        return await super().run_tools(answer, toolbox)


class CallsBeforeItsMessage(Reference):
    """Runs the tools of a call to the model before it yields that call's message."""

    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        messages = self.begin(request)
        while True:
            results: Sequence[ToolResult] = ()
            answer = AssistantMessage()
            async with aclosing(model_calls.run(self.ask, messages)) as events:
                async for event in events:
                    if isinstance(event, MessageCompleted) and event.message.tool_calls:
                        results = await toolbox.call_all(event.message.tool_calls)
                    if isinstance(event, MessageCompleted):
                        answer = event.message
                    yield event
            if not answer.tool_calls:
                return
            messages += [answer, *results]


class StopsAfterTheTools(Reference):
    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        async with aclosing(super().loop(request, toolbox, model_calls)) as events:
            async for event in events:
                yield event
                if isinstance(event, MessageCompleted) and event.message.tool_calls:
                    await toolbox.call_all(event.message.tool_calls)
                    return


class RunsOneAfterTheOther(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        return [await toolbox.call(call) for call in answer.tool_calls]


class TakesResultsAsTheyCome(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        tasks = [asyncio.ensure_future(toolbox.call(call)) for call in answer.tool_calls]
        return [await task for task in asyncio.as_completed(tasks)]


class StopsAtTheFirstFailure(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        results = list(await super().run_tools(answer, toolbox))
        if len(results) > 1 and results[0].is_error:
            return [results[0]] * len(results)
        return results


class RunsTwinsOnce(Reference):
    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        unique = {(call.name, call.arguments): call for call in answer.tool_calls}
        if len(unique) == len(answer.tool_calls):
            return await super().run_tools(answer, toolbox)
        results = await toolbox.call_all(tuple(unique.values()))
        return [ToolResult(call.id, call.name, results[0].text) for call in answer.tool_calls]


class SwallowsErrors(Failing):
    """Makes an answer of whatever breaks off."""

    async def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        yield MessageCompleted(AssistantMessage(f"Error: {error}"))


class RetriesByItself(Failing):
    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        if begun or not error.retryable:
            raise error
        return Reference.ask(self, call)


class RaisesTheLibrarysErrors(Failing):
    """Lets what httpx raises for a status pass."""

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


class CatchesTheStop(Reference):
    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        try:
            async with aclosing(super().loop(request, toolbox, model_calls)) as events:
                async for event in events:
                    yield event
        except TurnStopped:
            yield MessageCompleted(AssistantMessage("Enough."))


class TellsTheModelOfTheLog(Reference):
    """Takes what the toolbox raises for a result."""

    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        try:
            return await super().run_tools(answer, toolbox)
        except StoreError as error:
            return [ToolResult(call.id, call.name, str(error), is_error=True) for call in answer.tool_calls]


class FollowsRedirects(Failing):
    def recover(self, call: ModelCall, error: ModelError, *, begun: bool) -> AsyncGenerator[BackendEvent, None]:
        cause = error.__cause__
        if not (isinstance(cause, httpx.HTTPStatusError) and cause.response.is_redirect):
            raise error
        place = cause.response.headers["location"].removesuffix("/chat/completions")
        moved = msgspec.structs.replace(call, settings=msgspec.structs.replace(call.settings, base_url=place))
        return Reference.ask(self, moved)


class SwallowsItsCancellation(Reference):
    """Ends in good order where it should let the cancellation pass."""

    async def loop(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        speaks = False
        try:
            async with aclosing(super().loop(request, toolbox, model_calls)) as events:
                async for event in events:
                    yield event
                    speaks = isinstance(event, TextDelta)
        except asyncio.CancelledError:
            if not speaks:
                raise
            yield MessageCompleted(AssistantMessage("Interrupted."))


class LetsToolsRunOn(Reference):
    """Shields the tools from the turn's cancellation."""

    async def run_tools(self, answer: AssistantMessage, toolbox: Toolbox) -> Sequence[ToolResult]:
        return await asyncio.shield(super().run_tools(answer, toolbox))


class LeavesTasksBehind(Framing):
    def open(self, _request: GenerationRequest) -> Iterator[BackendEvent]:
        self._beat = asyncio.ensure_future(asyncio.sleep(3600))
        yield from ()


class KeepsItsConnection(Reference):
    """Reads the answer in a task of its own, which nobody ends."""

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
        """Ask once in the way of a library that knows no asyncio, then as the reference does."""
        body = {**self.write_body(call), "stream": False}
        body.pop("stream_options", None)
        with suppress(httpx.HTTPError):
            httpx.post(  # noqa: ASYNC210  that is its fault
                f"{call.settings.base_url}/chat/completions", json=body, timeout=60.0, trust_env=False
            )
        async with aclosing(super().ask(call)) as events:
            async for event in events:
                yield event


class ClaimsAnotherName(Reference):
    @hookimpl
    def describe_backend(self) -> BackendInfo:
        return BackendInfo("reference", "1.0", capabilities=frozenset({"core", "telepathy"}))


@dataclass(frozen=True)
class Broken:
    """A faulty backend, the case that is meant for its fault, and those that cannot but fail with it.

    One that `spoils_much` fails so many others that nobody lists them.
    """

    backend: type[Reference]
    meant: str
    also: frozenset[str] = frozenset()
    spoils_much: bool = False


def broken(backend: type[Reference], meant: str, *also: str, spoils_much: bool = False) -> Broken:
    return Broken(backend, meant, frozenset(also), spoils_much)


BROKEN = (
    broken(ClaimsAnotherName, "core.describes_itself"),
    broken(IgnoresTemperature, "core.temperature"),
    broken(DropsTemperatureZero, "core.temperature"),
    broken(HasItsOwnDefaults, "core.unset_settings"),
    broken(KeepsTheProvidersName, "core.model_name"),
    broken(LeaksTheKey, "core.key_in_its_place"),
    broken(KeepsStateBetweenTurns, "core.nothing_is_kept", "core.no_system_prompt"),
    broken(MixesTurns, "core.turns_at_once"),
    broken(TalksAfterwards, "core.ends_with_the_answer", "streaming.one_message_for_each_call"),
    broken(DoublesADelta, "streaming.deltas_make_the_message"),
    broken(HoldsTheTextBack, "streaming.as_it_comes", spoils_much=True),
    broken(StripsTheText, "streaming.text_to_the_letter"),
    broken(DropsReasoning, "streaming.reasoning", "streaming.reasoning_in_pieces"),
    broken(IsSilentDuringCalls, "streaming.signs_of_life"),
    broken(CompletesTwice, "streaming.one_message_for_each_call", "streaming.in_one_piece", "resume.its_own_turn"),
    broken(NeverCompletes, "core.answers", spoils_much=True),
    broken(MakesHalfCallsWhole, "tools.half_call"),
    broken(CallsAllEndsProper, "tools.other_ends"),
    broken(RunsCommandsItself, "tools.only_the_toolbox"),
    broken(SkipsUnknownTools, "tools.unknown_tool"),
    broken(MendsArguments, "tools.broken_arguments"),
    broken(HandsOverTwice, "tools.message_before_its_calls"),
    broken(CallsBeforeItsMessage, "tools.message_before_its_calls", spoils_much=True),
    broken(StopsAfterTheTools, "tools.the_model_has_the_last_word", spoils_much=True),
    broken(RunsOneAfterTheOther, "parallel.side_by_side"),
    broken(TakesResultsAsTheyCome, "parallel.results_in_order", "cancel.cancelled_in_a_tool"),
    broken(StopsAtTheFirstFailure, "parallel.one_fails"),
    broken(RunsTwinsOnce, "parallel.twins"),
    broken(SwallowsErrors, "errors.broken_stream", spoils_much=True),
    broken(RetriesByItself, "errors.no_own_retries"),
    broken(RaisesTheLibrarysErrors, "errors.model_not_found"),
    broken(LosesTheCause, "errors.chained"),
    broken(QuotesTheKey, "errors.sentence_without_key"),
    broken(FollowsRedirects, "errors.redirects"),
    broken(CatchesTheStop, "errors.turn_stopped"),
    broken(TellsTheModelOfTheLog, "errors.failing_log"),
    broken(SwallowsItsCancellation, "cancel.cancelled_while_speaking"),
    broken(LetsToolsRunOn, "cancel.cancelled_in_a_tool"),
    broken(LeavesTasksBehind, "cancel.nothing_runs_on"),
    broken(KeepsItsConnection, "cancel.closed_while_speaking", spoils_much=True),
    broken(BlocksTheLoop, "core.loop_stays_free", spoils_much=True),
    broken(InventsUsage, "usage.not_told", "usage.in_one_piece"),
    broken(ForgetsCachedTokens, "usage.told", "usage.in_one_piece"),
    broken(AddsUsageUp, "usage.each_its_own"),
    broken(SendsWhatItHad, "resume.what_the_core_says", "resume.broken_call"),
    broken(SaysReasoningAloud, "resume.reasoning_is_not_said"),
    broken(SendsOpaqueDataToAnybody, "resume.data_of_another_provider"),
    broken(DropsImages, "resume.images"),
    broken(ForgetsTheFirstTurns, "resume.earlier_turns"),
)
