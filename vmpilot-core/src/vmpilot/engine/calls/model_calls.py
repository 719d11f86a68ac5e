"""One supervised call to the model: time limits, retries, other models, one proper end, whatever the backend does."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import count

import msgspec

from vmpilot.cache import TurnCache, cached
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
from vmpilot.engine.calls import (
    Bounds,
    Endpoint,
    Lineup,
    Patience,
    WatchedStream,
    bounded,
    check_answer,
    cut_message,
    fitted,
)
from vmpilot.engine.compaction.compactor import Compactor
from vmpilot.engine.compaction.summary import spoken
from vmpilot.engine.history import call_ids, with_unique_ids
from vmpilot.engine.limits import Limits
from vmpilot.engine.money import estimate_usage
from vmpilot.engine.outgoing import Outgoing, Prepared
from vmpilot.engine.recording import TurnTape
from vmpilot.engine.text_tools import over_text
from vmpilot.engine.tokens import weigh_text

_log = logging.getLogger(__name__)


class SupervisedModelCalls:
    """The `ModelCalls` of one turn; without a `compactor` an overflow of the model's window is an error.

    Without a `lineup` the request's own model is the only one. What is asked goes through these, one within the other:
    other models, compaction, the cache, tries, the time limits and bounds, the tape, the text protocol, the form that
    the model's server takes.
    """

    def __init__(
        self,
        request: GenerationRequest,
        *,
        limits: Limits,
        compactor: Compactor | None = None,
        prepared: Prepared | None = None,
        lineup: Lineup | None = None,
        cache: TurnCache | None = None,
        tape: TurnTape | None = None,
    ) -> None:
        self._request = request
        self._limits = limits
        self._compactor = compactor
        self._lineup = lineup or Lineup(Endpoint(request.model, request.settings))
        self._cache = cache
        self._tape = tape
        self._outgoing = Outgoing(prepared or Prepared(request.conversation_id))
        self._ids = call_ids(request.messages)

    async def run(self, stream_once: StreamOnce, messages: Sequence[Message]) -> AsyncGenerator[BackendEvent, None]:
        """See `ModelCalls.run`."""
        self._limits.begin_step()
        self._outgoing.take(messages)
        for notice in self._lineup.take_news():
            yield notice
        shown = False
        while True:
            try:
                async with aclosing(self._run_compacted(self._supervised(stream_once))) as events:
                    async for event in events:
                        shown = _is_shown(event, before=shown)
                        yield self._complete(event) if isinstance(event, MessageCompleted) else event
                return
            except ModelError as error:
                _log.debug("looking for another model, because %s", error)
                async with aclosing(self._lineup.switch(error)) as notices:
                    async for notice in notices:
                        if shown:
                            yield Retrying(1, 0.0, "what was said so far does not count", discard=True)
                            shown = False
                        yield notice
                if self._compactor is not None:
                    self._compactor.change_model(self._lineup.endpoint.context_window)

    async def _run_compacted(self, stream_once: StreamOnce) -> AsyncGenerator[BackendEvent, None]:
        """The call, with the conversation compacted before it or after it overflowed, where that is needed."""
        compactor = self._compactor
        if compactor is None:
            async with aclosing(stream_once(self._call())) as events:
                async for event in events:
                    yield event
            return
        ask = partial(self._ask, stream_once, compactor)
        await compactor.make_room(self._outgoing, ask)
        for tries in count():
            self._limits.begin_call()
            shown = False
            try:
                async with aclosing(stream_once(self._call())) as events:
                    async for event in events:
                        if isinstance(event, MessageCompleted):
                            compactor.learn(self._outgoing, event.usage)
                        shown = _is_shown(event, before=shown)
                        yield event
                return
            except ContextOverflow as error:
                await compactor.recover(self._outgoing, ask, error=error, tries=tries)
                if shown:
                    yield Retrying(tries + 2, 0.0, str(error), discard=True)

    def _call(self) -> ModelCall:
        request, endpoint = self._request, self._lineup.endpoint
        tools = request.tools
        if endpoint.tools is not None:
            tools = tuple(tool for tool in tools if tool.name in endpoint.tools)
        return ModelCall(self._outgoing.ready, request.system, endpoint.model, endpoint.settings, tools)

    async def _ask(self, stream_once: StreamOnce, compactor: Compactor, system: str, text: str) -> str:
        """The answer to one question that is no part of the conversation."""
        self._limits.begin_call()
        endpoint = self._lineup.endpoint
        call = ModelCall((UserMessage.from_text(text),), system, endpoint.model, endpoint.settings, ())
        answer = AssistantMessage()
        async with aclosing(stream_once(call)) as events:
            async for event in events:
                match event:
                    case Retrying() | Notice():
                        compactor.show(event)
                    case MessageCompleted():
                        estimate = partial(estimate_usage, call.messages, event.message, frame=weigh_text(system))
                        self._limits.add_usage(event.usage, model=endpoint.model, estimate=estimate)
                        answer = event.message
                    case _:
                        pass
        return spoken(answer)

    def _complete(self, completed: MessageCompleted) -> MessageCompleted:
        message = with_unique_ids(completed.message, self._ids)
        return MessageCompleted(message, completed.usage, self._lineup.answering)

    def _supervised(self, stream_once: StreamOnce) -> StreamOnce:
        supervised = partial(self._supervise, stream_once)
        if self._cache is None:
            return supervised
        return cached(supervised, self._cache, sent=lambda: self._lineup.endpoint.settings)

    def _adapted(self, stream_once: StreamOnce) -> StreamOnce:
        """The backend's function as the model that is in use can be asked."""
        stream_once = fitted(stream_once, self._lineup.endpoint.form)
        if self._lineup.by_text:
            stream_once = over_text(bounded(stream_once), conversation_id=self._request.conversation_id)
        return stream_once if self._tape is None else self._tape.taped(stream_once)

    async def _supervise(self, stream_once: StreamOnce, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        """The call, made again where that can help, by one model."""
        patience = Patience(self._request.retry)
        while True:
            shown = False
            try:
                tried = _logged(_try_once(self._adapted(stream_once), call), call, attempt=patience.attempt)
                async with aclosing(tried) as events:
                    async for event in events:
                        shown = _is_shown(event, before=shown)
                        yield event
                return
            except (MessagesRefused, ParameterRefused, ToolsUnsupported) as error:
                _log.debug("trying again without what was refused")
                notice = self._lineup.adapt(error)
                call = msgspec.structs.replace(call, settings=self._lineup.endpoint.settings)
                if shown:
                    yield Retrying(patience.attempt, 0.0, str(error), discard=True)
                if notice is not None:
                    yield notice
            except ModelError as error:
                delay = patience.delay_after(error)
                _log.debug("trying again in %.1f s", delay)
                yield Retrying(patience.attempt, delay, str(error), discard=shown)
                await asyncio.sleep(delay)


async def _try_once(stream_once: StreamOnce, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
    bounds = Bounds()
    async with WatchedStream(stream_once(call), call) as stream:
        while not isinstance(event := await stream.next_event(), MessageCompleted):
            yield bounds.take(event)
            if bounds.full:
                break
    cut = bounds.finish() if bounds.full else None
    if isinstance(event, MessageCompleted):
        check_answer(event.message)
        cut = cut_message(event)
    for last in cut or (event,):
        yield last


async def _logged(
    events: AsyncGenerator[BackendEvent, None], call: ModelCall, *, attempt: int
) -> AsyncGenerator[BackendEvent, None]:
    """The events of one try, with its size and its times in the log."""
    if not _log.isEnabledFor(logging.DEBUG):
        async with aclosing(events):
            async for event in events:
                yield event
        return
    size = len(json.dumps(msgspec.to_builtins([call.system, call.messages, call.tools])))
    _log.debug(
        "request to %s: %d messages, %d tools, about %d bytes, try %d",
        call.model,
        len(call.messages),
        len(call.tools),
        size,
        attempt,
    )
    started, first = time.monotonic(), 0.0
    try:
        async with aclosing(events):
            async for event in events:
                first = first or time.monotonic() - started
                if isinstance(event, MessageCompleted):
                    _log.debug("answer from %s: %s", call.model, _described(event, started=started, first=first))
                yield event
    except (ModelError, asyncio.CancelledError) as error:
        why = "canceled" if isinstance(error, asyncio.CancelledError) else f"{type(error).__name__}: {error}"
        _log.debug("no answer from %s after %.1f s: %s", call.model, time.monotonic() - started, why)
        raise


def _described(event: MessageCompleted, *, started: float, first: float) -> str:
    message, usage = event.message, event.usage
    tokens = "tokens not told" if usage is None else f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    calls = "".join(f", calls {call.name}" for call in message.tool_calls)
    return (
        f"{len(message.text)} characters{calls}, {message.finish}, {tokens}, "
        f"{first:.1f} s to the first content, {time.monotonic() - started:.1f} s in all"
    )


def _is_shown(event: BackendEvent, *, before: bool) -> bool:
    """Whether a front end shows something of the message, now that it got this event."""
    if isinstance(event, Retrying):
        return before and not event.discard
    return before or not isinstance(event, MessageCompleted | Notice)
