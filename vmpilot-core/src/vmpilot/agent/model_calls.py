"""One supervised call to the model: time limits, retries, one proper end, whatever the backend's library does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import count

from vmpilot.agent.compactor import Compactor
from vmpilot.agent.history import with_unique_ids
from vmpilot.agent.limits import Limits
from vmpilot.agent.outgoing import Outgoing, Prepared
from vmpilot.agent.summary import spoken
from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BadResponse,
    ContextOverflow,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelCall,
    ModelError,
    ModelTimeout,
    ReasoningDelta,
    Retrying,
    StreamInterrupted,
    StreamOnce,
    TextDelta,
    TimeLimits,
    ToolCallDelta,
    UserMessage,
)


class SupervisedModelCalls:
    """The `ModelCalls` of one turn; without a `compactor` an overflow of the model's window is an error."""

    def __init__(
        self,
        request: GenerationRequest,
        *,
        limits: Limits,
        compactor: Compactor | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        self._request = request
        self._limits = limits
        self._compactor = compactor
        self._outgoing = Outgoing(prepared or Prepared(request.conversation_id))
        self._ids = {
            call.id
            for message in request.messages
            if isinstance(message, AssistantMessage)
            for call in message.tool_calls
        }

    async def run(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AsyncGenerator[BackendEvent, None]:
        """See `ModelCalls.run`."""
        self._limits.begin_step()
        self._outgoing.take(messages)
        if self._compactor is None:
            events = self._supervise(stream_once, self._call())
        else:
            events = self._run_compacted(stream_once, self._compactor)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _run_compacted(self, stream_once: StreamOnce, compactor: Compactor) -> AsyncGenerator[BackendEvent, None]:
        """The call, with the conversation compacted before it or after it overflowed, where that is needed."""
        ask = partial(self._ask, stream_once, compactor)
        await compactor.make_room(self._outgoing, ask)
        for tries in count():
            shown = False
            try:
                async with aclosing(self._supervise(stream_once, self._call())) as events:
                    async for event in events:
                        if isinstance(event, MessageCompleted):
                            compactor.learn(self._outgoing, event.usage)
                        shown = not isinstance(event, Retrying)
                        yield event
                return
            except ContextOverflow as error:
                await compactor.recover(self._outgoing, ask, error=error, tries=tries)
                if shown:
                    yield Retrying(tries + 2, 0.0, str(error), discard=True)

    def _call(self) -> ModelCall:
        request = self._request
        return ModelCall(self._outgoing.ready, request.system, request.model, request.settings, request.tools)

    async def _ask(self, stream_once: StreamOnce, compactor: Compactor, system: str, text: str) -> str:
        """The answer to one question that is no part of the conversation."""
        request = self._request
        call = ModelCall((UserMessage.from_text(text),), system, request.model, request.settings, ())
        answer = AssistantMessage()
        async with aclosing(self._supervise(stream_once, call)) as events:
            async for event in events:
                match event:
                    case Retrying():
                        compactor.show(event)
                    case MessageCompleted():
                        self._limits.add_usage(event.usage)
                        answer = event.message
                    case _:
                        pass
        return spoken(answer)

    async def _supervise(self, stream_once: StreamOnce, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        patience = _Patience(self._request)
        while True:
            shown = False
            try:
                async with aclosing(self._try_once(stream_once, call)) as events:
                    async for event in events:
                        shown = shown or not isinstance(event, MessageCompleted)
                        yield event
                return
            except ModelError as error:
                delay = patience.delay_after(error)
                yield Retrying(patience.attempt, delay, str(error), discard=shown)
                await asyncio.sleep(delay)

    async def _try_once(self, stream_once: StreamOnce, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        clock = _Clock(call)
        async with aclosing(stream_once(call)) as stream:
            while True:
                event = await clock.next_of(stream)
                if isinstance(event, MessageCompleted):
                    yield MessageCompleted(with_unique_ids(_checked(event.message), self._ids), event.usage)
                    return
                yield event


class _Clock:
    """Waits for a stream's next event within the time limits; the consumer's own time does not count."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._waited = 0.0
        self._since_content = 0.0
        self._begun = False

    async def next_of(self, stream: AsyncIterator[BackendEvent]) -> BackendEvent:
        loop = asyncio.get_running_loop()
        started = loop.time()
        limits = self._call.settings.time_limits
        patience = (limits.gap if self._begun else limits.first_content) - self._since_content
        left = limits.whole - self._waited
        try:
            async with asyncio.timeout(max(0.0, min(patience, left))):
                event = await anext(stream)
        except TimeoutError as error:
            raise self._timed_out(limits, whole=left <= patience) from error
        except StopAsyncIteration as error:
            raise BadResponse(f"the backend ended a call to {self._call.model} without a message") from error
        elapsed = loop.time() - started
        self._waited += elapsed
        self._since_content += elapsed
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            self._since_content, self._begun = 0.0, True
        return event

    def _timed_out(self, limits: TimeLimits, *, whole: bool) -> ModelTimeout:
        model = self._call.model
        if whole:
            return ModelTimeout(f"{model} was not done after {limits.whole:g} s")
        if self._begun:
            return ModelTimeout(f"{model} fell silent in mid-answer for {limits.gap:g} s")
        return ModelTimeout(f"{model} sent nothing for {limits.first_content:g} s")


class _Patience:
    """How long to wait before the next try of one call: exponential with jitter, the provider's word as a floor."""

    def __init__(self, request: GenerationRequest) -> None:
        self._policy = request.retry
        self._left = request.retry.total_seconds
        self.attempt = 1

    def delay_after(self, error: ModelError) -> float:
        """Seconds until the next try. Raises the error where trying again is of no use or not allowed."""
        if not error.retryable or self.attempt >= self._policy.attempts:
            raise error
        asked_for: float = getattr(error, "retry_after", None) or 0.0
        delay: float = max(asked_for, 0.5 * 2 ** (self.attempt - 1) * random.uniform(1.0, 1.5))  # noqa: S311  no secret
        if delay > self._left:
            raise error
        self._left -= delay
        self.attempt += 1
        return delay


def _checked(message: AssistantMessage) -> AssistantMessage:
    """Raises `StreamInterrupted` or `BadResponse` for a message that has no proper end or says nothing at all."""
    if message.finish == "cut":
        raise StreamInterrupted("the model's answer broke off before its end")
    if message.ended_properly and not message.text.strip() and not message.tool_calls:
        only = "only reasoning, no answer" if message.reasoning else "an empty answer"
        raise BadResponse(f"the model gave {only}")
    return message
