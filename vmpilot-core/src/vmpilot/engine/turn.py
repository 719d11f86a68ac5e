"""Run one turn: record the request, let the backend generate, record its events, and always end properly."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    EndReason,
    Event,
    GenerationRequest,
    LimitReached,
    MessageCompleted,
    ModelInfo,
    Notice,
    StoreError,
    ToolCall,
    TurnEnded,
    TurnStarted,
    Usage,
    UserMessage,
    VMPilotError,
)
from vmpilot.engine.calls import TOO_LONG, Emitter
from vmpilot.engine.calls.bounds import MAX_TEXT
from vmpilot.engine.calls.model_calls import SupervisedModelCalls
from vmpilot.engine.compaction.compactor import Compactor
from vmpilot.engine.conversation import Conversation
from vmpilot.engine.costs import estimate_usage
from vmpilot.engine.history import call_ids, unanswered_calls, with_unique_ids
from vmpilot.engine.journal import Journal
from vmpilot.engine.limits import WARNING, Limits, LimitStop, out_of_time
from vmpilot.engine.loop_detector import LoopDetector
from vmpilot.engine.plan import TurnPlan
from vmpilot.engine.recording import TurnAsked, TurnRecorder
from vmpilot.engine.secrecy import masked_request
from vmpilot.engine.stopwatch import Stopwatch
from vmpilot.engine.tokens import estimate_overhead
from vmpilot.engine.toolbox import TurnToolbox

_AT_ITS_END = "the model reached its output token limit"


class Turn:
    """A running turn. Iterate over `events()`; `stop()` ends it early, with `TurnEnded` as its last event.

    `over` is true from shortly before `TurnEnded`.
    """

    def __init__(self, plan: TurnPlan, message: UserMessage) -> None:
        self._plan = plan
        self._chain = plan.chain
        self._endpoint = plan.chain.endpoint  # the one at the start of the turn
        self._message = masked_request(message, plan.masker)
        self._id = secrets.token_hex(6)
        self._journal = Journal(plan.conversation.log)
        self._stopwatch = Stopwatch()
        self._infos: dict[str, ModelInfo | None] = {}
        loop_detector = LoopDetector()
        self._limits = Limits(
            max_steps=plan.max_steps,
            max_cost=plan.max_cost,
            max_total_tokens=plan.max_total_tokens,
            model=self._endpoint.model,
            find_info=self._find_info,
            tell=self._tell,
            loop_detector=loop_detector,
        )
        self._toolbox = TurnToolbox(
            plan.tools,
            policy=plan.policy,
            approver=plan.approver,
            journal=self._journal,
            masker=plan.masker,
            loop_detector=loop_detector,
            asking=self._stopwatch.paused,
        )
        self._cache = plan.cache if plan.recording is None else None  # the model has said everything in the recording
        self._emit = Emitter(self._journal.emit)
        self._ids: set[str] = set()
        self._last: AssistantMessage | None = None
        self._is_too_long = False  # the last message
        self._limit: LimitReached | None = None
        self._task: asyncio.Task[None] | None = None
        self._recording: TurnRecorder | None = None
        self._generating = False
        self._stopped = False
        self.over = False

    def stop(self) -> None:
        """Interrupt the model and the running commands; a second call has no effect."""
        self._interrupt()

    def _interrupt(self, limit: LimitReached | None = None) -> None:
        if self._generating and not self._stopped and self._task is not None:
            self._limit = limit
            self._task.cancel()
        self._stopped = True

    @property
    def conversation(self) -> Conversation:
        return self._plan.conversation

    async def wait(self) -> None:
        """Wait until no part of the turn is running."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run the turn and yield its events; closing the iterator stops the turn and waits until nothing is running."""
        self._task = asyncio.create_task(self._run())
        try:
            async for event in self._journal.events():
                if self._recording is not None:
                    self._recording.see(event)
                yield event
            await self._task
        finally:
            self.stop()
            await self.wait()

    async def _run(self) -> None:
        try:
            await self._begin()
            await self._end(await self._generate())
        finally:
            self._plan.conversation.extend(self._journal.recorded, sure=self._journal.failure is None)
            self._journal.close()

    async def _begin(self) -> None:
        await self._plan.conversation.refresh()
        self._begin_recording()
        await self._journal.record(self._started())
        for notice in self._plan.notices:
            self._tell(notice)
        self._tell_news()

    def _begin_recording(self) -> None:
        plan, endpoint = self._plan, self._endpoint
        if plan.recording is None:
            return
        self._recording = plan.recording.begin_turn(
            TurnAsked(
                turn=self._id,
                backend=plan.backend.name,
                model=endpoint.model,
                system=plan.system,
                messages=plan.conversation.history(self._message),
                tools=tuple(tool.spec for tool in plan.tools),
                compaction=plan.compaction,
                context_window=endpoint.context_window or self._find_window(),
                max_tokens=endpoint.settings.max_tokens,
                temperature=endpoint.settings.temperature,
            )
        )

    def _started(self) -> TurnStarted:
        plan = self._plan
        return TurnStarted(
            plan.conversation.id,
            self._id,
            self._message,
            plan.backend.name,
            self._endpoint.model,
            time=time.time(),
            terms=plan.terms,
        )

    async def _generate(self) -> TurnEnded:
        """The turn's end, whatever happens; `stop` can interrupt only until then."""
        if self._stopped:
            return self._ended("interrupted", exit_code=130)
        self._generating = True
        self._start_clock()
        try:
            ended = await self._run_backend()
            self._tell_news()
            return ended
        except (VMPilotError, asyncio.CancelledError) as error:
            return self._ended_early(error)
        finally:
            self._generating = False
            self._stopwatch.stop()

    def _start_clock(self) -> None:
        most = self._plan.max_seconds
        if most is not None:
            used = f"{most * WARNING:g} of the {most:g} seconds of this request are used (--max-seconds)."
            self._stopwatch.call_at(most * WARNING, lambda: self._tell(used))
            self._stopwatch.call_at(most, lambda: self._interrupt(out_of_time(most)))
        self._stopwatch.start()

    def _tell(self, sentence: str) -> None:
        self._journal.emit(Notice(sentence))

    def _tell_news(self) -> None:
        for sentence in self._plan.take_news():
            self._tell(sentence)

    async def _run_backend(self) -> TurnEnded:
        plan = self._plan
        request = GenerationRequest(
            conversation_id=plan.conversation.id,
            turn_id=self._id,
            messages=plan.conversation.history(self._message),
            system=plan.system,
            model=self._endpoint.model,
            settings=self._endpoint.settings,
            tools=tuple(tool.spec for tool in plan.tools),
            retry=plan.retry,
        )
        self._ids = call_ids(request.messages)
        model_calls = SupervisedModelCalls(
            request,
            limits=self._limits,
            emit=self._emit,
            record=self._record,
            compactor=self._compactor() if plan.compaction else None,
            prepared=plan.conversation.prepared,
            chain=self._chain,
            cache=self._cache,
            recording=self._recording,
        )
        await plan.backend.run(request, self._toolbox, model_calls, self._take)
        return self._verdict()

    def _compactor(self) -> Compactor:
        plan = self._plan
        return Compactor(
            self._journal,
            overhead=estimate_overhead(plan.system, [tool.spec for tool in plan.tools]),
            window=self._endpoint.context_window,
            find_window=self._find_window,
            reserve=self._endpoint.settings.max_tokens or 0,
            told=plan.conversation.told,
        )

    def _find_window(self) -> int | None:
        info = self._find_info(self._chain.endpoint.model)
        return None if info is None else info.context_window

    def _find_info(self, model: str) -> ModelInfo | None:
        """Looked up once, and only if needed: a backend may import its library for it."""
        if model not in self._infos:
            info = self._plan.backend.model_info(model)
            if self._chain.is_free(model):
                info = msgspec.structs.replace(info or ModelInfo(), input_price=0.0, output_price=0.0)
            self._infos[model] = info
        return self._infos[model]

    async def _take(self, event: BackendEvent) -> None:
        """Handle an event that the backend yielded itself."""
        if isinstance(event, MessageCompleted):
            await self._record(event, asked=event.message.tool_calls)
        else:
            self._emit(event)

    async def _record(self, completed: MessageCompleted, *, asked: Sequence[ToolCall] = ()) -> AssistantMessage:
        """Record a message and return it with ids that are unique in the conversation.

        `asked` are its calls as known to a backend that yielded it. A message that exceeds a limit is also recorded,
        because it was paid for.
        """
        stop: LimitStop | None = None
        try:
            estimate = partial(self._estimate, completed.message)
            self._limits.end_step(completed.usage, model=completed.model, estimate=estimate)
        except LimitStop as raised:
            stop = raised
        message = with_unique_ids(completed.message, self._ids)
        self._is_too_long = self._emit.last_notice == TOO_LONG
        self._emit.clear()
        renamed = message is not completed.message
        event = msgspec.structs.replace(completed, message=message) if renamed else completed
        if message.tool_calls:
            self._journal.hold(event)
        else:
            await self._journal.record(event)
        if stop is not None:
            raise stop
        self._last = message
        self._toolbox.message_recorded(message, asked=asked)
        return message

    def _estimate(self, answer: AssistantMessage) -> Usage:
        plan = self._plan
        overhead = estimate_overhead(plan.system, [tool.spec for tool in plan.tools])
        return estimate_usage(plan.conversation.history_after(self._journal.told), answer, overhead=overhead)

    def _verdict(self) -> TurnEnded:
        """How a turn ended after its backend finished."""
        last = self._last
        if last is None or last.tool_calls:
            name = self._plan.backend.name
            return self._ended("failed", error=f"backend {name} ended the turn without an answer", exit_code=5)
        if last.finish == "length":
            why = f"it exceeds the {MAX_TEXT:,} characters that VMPilot reads" if self._is_too_long else _AT_ITS_END
            text = f"The answer was cut off: {why}. Send “continue” to resume."
            self._limit = LimitReached("tokens", self._limits.usage.output_tokens, text)
            return self._ended("limit", exit_code=3)
        if not last.ended_properly:
            error = {
                "content_filter": "the provider's content filter cut off the answer; rephrase the request",
                "refusal": "the model refused to answer",
            }.get(last.finish, "the answer was cut off; try again")
            return self._ended("failed", error=error, exit_code=1)
        if self._toolbox.denied_last:
            return self._ended("denied", exit_code=4)
        return self._ended("answered", exit_code=0)

    def _ended(self, reason: EndReason, *, error: str | None = None, exit_code: int) -> TurnEnded:
        limits = self._limits
        return TurnEnded(
            reason,
            time.time(),
            limits.usage,
            limits.cost,
            error,
            exit_code,
            steps=limits.steps,
            seconds=self._stopwatch.seconds,
        )

    def _ended_early(self, error: VMPilotError | asyncio.CancelledError) -> TurnEnded:
        if isinstance(error, LimitStop):
            self._limit = error.event
        if self._limit is not None:
            return self._ended("limit", exit_code=LimitStop.exit_code)
        if isinstance(error, VMPilotError):
            return self._ended("failed", error=str(error), exit_code=error.exit_code)
        return self._ended("interrupted", exit_code=130)

    async def _end(self, end: TurnEnded) -> None:
        self.over = True
        said = self._emit.message("cut") if self._emit.text or self._emit.reasoning else None
        reached = (self._limit,) if self._limit is not None and end.reason == "limit" else ()
        try:
            if said is not None:
                await self._journal.record(MessageCompleted(said))
            missing = unanswered_calls(self._journal.told, self._toolbox.outputs)
            await self._journal.record(*missing, *reached, end)
        except StoreError as error:
            self._journal.emit(msgspec.structs.replace(end, reason="failed", error=str(error), exit_code=1))
