"""A supervised call to the model: time limits, retries, fallback models, and exactly one result."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from vmpilot.cache import TurnCache
from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    ContextOverflow,
    GenerationRequest,
    Message,
    MessageCompleted,
    MessagesRefused,
    ModelCall,
    ModelError,
    Notice,
    ParameterRefused,
    Retrying,
    StreamOnce,
    ToolsUnsupported,
    UserMessage,
)
from vmpilot.engine.calls import Backoff, Emitter, Endpoint, FallbackChain
from vmpilot.engine.calls.reading import check_answer, read_answer
from vmpilot.engine.compaction.compactor import Compactor
from vmpilot.engine.compaction.summary import spoken
from vmpilot.engine.costs import estimate_usage
from vmpilot.engine.limits import Limits
from vmpilot.engine.outgoing import Outgoing, Prepared
from vmpilot.engine.recording import TurnRecorder
from vmpilot.engine.text_tools import CallMark
from vmpilot.engine.tokens import estimate_text_tokens

_log = logging.getLogger(__name__)

Record: TypeAlias = Callable[[MessageCompleted], Awaitable[AssistantMessage]]
"""Records a complete message and returns it as recorded."""


class SupervisedModelCalls:
    """The `ModelCalls` of one turn; without a `compactor` an overflow of the model's window is an error.

    Without a `chain`, the request's model is the only one. Events go to `emit` as they arrive, complete messages to
    `record`.
    """

    def __init__(
        self,
        request: GenerationRequest,
        *,
        limits: Limits,
        emit: Emitter,
        record: Record,
        compactor: Compactor | None = None,
        prepared: Prepared | None = None,
        chain: FallbackChain | None = None,
        cache: TurnCache | None = None,
        recording: TurnRecorder | None = None,
    ) -> None:
        self._request = request
        self._limits = limits
        self._emit = emit
        self._record = record
        self._compactor = compactor
        self._chain = chain or FallbackChain(Endpoint(request.model, request.settings))
        self._cache = cache
        self._recording = recording
        self._outgoing = Outgoing(prepared or Prepared(request.conversation_id))
        self._mark = CallMark.of(request.conversation_id)

    async def ask(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AssistantMessage:
        """See `ModelCalls.ask`."""
        self._limits.begin_step()
        self._outgoing.take(messages)
        for notice in self._chain.take_news():
            self._emit(notice)
        completed = await self._ask(stream_once)
        return await self._record(msgspec.structs.replace(completed, model=self._chain.answering))

    async def _ask(self, stream_once: StreamOnce) -> MessageCompleted:
        """The answer of the first model that succeeds, compacting the conversation as needed."""
        summarize = partial(self._summarize, stream_once)
        overflows = 0
        while True:
            try:
                if self._compactor is not None:
                    if not overflows:
                        await self._compactor.make_room(self._outgoing, summarize)
                    self._limits.begin_call()
                completed = await self._complete(stream_once, self._call, self._emit)
                if self._compactor is not None:
                    self._compactor.learn(self._outgoing, completed.usage)
                return completed
            except ModelError as error:
                try:
                    if not isinstance(error, ContextOverflow) or self._compactor is None:
                        raise
                    await self._compactor.recover(self._outgoing, summarize, error=error, tries=overflows)
                    overflows += 1
                    self._emit.take_back(str(error), attempt=overflows + 1)
                except ModelError as final:
                    _log.debug("looking for another model, because %s", final)
                    await self._switch(final)
                    overflows = 0

    async def _switch(self, error: ModelError) -> None:
        """Continue with the next model. Raises the error if no model is left."""

        def emit(notice: Notice) -> None:
            self._emit.take_back("the partial answer is discarded")
            self._emit(notice)

        await self._chain.switch(error, emit)
        if self._compactor is not None:
            self._compactor.change_model(self._chain.endpoint.context_window)

    async def _complete(
        self, stream_once: StreamOnce, make_call: Callable[[], ModelCall], emit: Emitter
    ) -> MessageCompleted:
        """One model's answer to one request: from the cache, or after as many attempts as necessary."""
        ask = partial(self._try, stream_once, make_call, emit)
        if self._cache is None:
            return await ask()
        return await self._cache.answer(make_call(), ask, emit, sent=lambda: self._chain.endpoint.settings)

    async def _try(
        self, stream_once: StreamOnce, make_call: Callable[[], ModelCall], emit: Emitter
    ) -> MessageCompleted:
        """Call the model until it answers: repair a rejected request, and wait after a temporary failure."""
        backoff = Backoff(self._request.retry)
        call = make_call()
        while True:
            try:
                return await self._attempt(stream_once, call, emit, attempt=backoff.attempt)
            except (MessagesRefused, ParameterRefused, ToolsUnsupported) as error:
                _log.debug("retrying without the rejected part")
                notice = self._chain.adapt(error)
                call = make_call()
                emit.take_back(str(error), attempt=backoff.attempt)
                if notice is not None:
                    emit(notice)
            except ModelError as error:
                delay = backoff.delay_after(error)
                _log.debug("retrying in %.1f s", delay)
                emit(Retrying(backoff.attempt, delay, str(error), discard=emit.shown))
                await asyncio.sleep(delay)

    async def _attempt(
        self, stream_once: StreamOnce, call: ModelCall, emit: Emitter, *, attempt: int
    ) -> MessageCompleted:
        """One attempt, with its size and times in the log. Raises `StreamInterrupted` and `BadResponse` itself."""
        started = time.monotonic()
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("request to %s: %s, attempt %d", call.model, _described_request(call), attempt)
        mark = self._mark if self._chain.by_text else None
        try:
            try:
                answer = await read_answer(stream_once, call, emit, form=self._chain.endpoint.form, mark=mark)
            except ModelError as error:
                if self._recording is not None:
                    self._recording.exchange(call, error=f"{type(error).__name__}: {error}")
                raise
            if self._recording is not None:
                self._recording.exchange(call, answer=answer)
            check_answer(answer.message)
        except (ModelError, asyncio.CancelledError) as error:
            why = "canceled" if isinstance(error, asyncio.CancelledError) else f"{type(error).__name__}: {error}"
            _log.debug("no answer from %s after %.1f s: %s", call.model, time.monotonic() - started, why)
            raise
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("answer from %s: %s", call.model, _described(answer, started=started, first=emit.first_at))
        return answer

    def _call(self) -> ModelCall:
        request, endpoint = self._request, self._chain.endpoint
        tools = request.tools
        if endpoint.tools is not None:
            tools = tuple(tool for tool in tools if tool.name in endpoint.tools)
        return ModelCall(self._outgoing.ready, request.system, endpoint.model, endpoint.settings, tools)

    async def _summarize(self, stream_once: StreamOnce, system: str, text: str) -> str:
        """The answer to one question outside of the conversation; only its problems are shown."""
        self._limits.begin_call()
        messages = (UserMessage.from_text(text),)

        def make_call() -> ModelCall:
            endpoint = self._chain.endpoint
            return ModelCall(messages, system, endpoint.model, endpoint.settings, ())

        completed = await self._complete(stream_once, make_call, Emitter(self._show_trouble))
        estimate = partial(estimate_usage, messages, completed.message, overhead=estimate_text_tokens(system))
        self._limits.add_usage(completed.usage, model=self._chain.endpoint.model, estimate=estimate)
        return spoken(completed.message)

    def _show_trouble(self, event: BackendEvent) -> None:
        match event:
            case Retrying():  # nothing of the summary was shown, so there is nothing to discard
                self._emit(msgspec.structs.replace(event, discard=False))
            case Notice():
                self._emit(event)
            case _:
                pass


def _described_request(call: ModelCall) -> str:
    size = len(json.dumps(msgspec.to_builtins([call.system, call.messages, call.tools])))
    return f"{len(call.messages)} messages, {len(call.tools)} tools, about {size} bytes"


def _described(completed: MessageCompleted, *, started: float, first: float | None) -> str:
    message, usage, now = completed.message, completed.usage, time.monotonic()
    tokens = "tokens unknown" if usage is None else f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    calls = "".join(f", calls {call.name}" for call in message.tool_calls)
    return (
        f"{len(message.text)} characters{calls}, {message.finish}, {tokens}, "
        f"{(first or now) - started:.1f} s to the first content, {now - started:.1f} s in all"
    )
