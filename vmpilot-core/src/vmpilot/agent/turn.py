"""Run one turn: record the request, let the backend generate, record what comes, and end properly whatever happens."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property

import msgspec

from vmpilot.agent.compactor import Compactor
from vmpilot.agent.conversation import Conversation
from vmpilot.agent.history import unanswered_calls
from vmpilot.agent.journal import Journal
from vmpilot.agent.limits import Limits, LimitStop
from vmpilot.agent.model_calls import SupervisedModelCalls
from vmpilot.agent.secrecy import masked_request
from vmpilot.agent.tokens import weigh_frame
from vmpilot.agent.toolbox import Approver, TurnToolbox
from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    EndReason,
    Event,
    GenerationRequest,
    LimitReached,
    MessageCompleted,
    ModelInfo,
    ModelSettings,
    ReasoningDelta,
    Retrying,
    RetryPolicy,
    StoreError,
    TextDelta,
    Tool,
    TurnEnded,
    TurnStarted,
    Usage,
    UserMessage,
    VMPilotError,
)
from vmpilot.plugins import Backend
from vmpilot.policy import Gate
from vmpilot.tools.masking import Masker


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """Everything that a turn needs besides the user's message."""

    conversation: Conversation
    backend: Backend
    model: str
    settings: ModelSettings
    system: str
    tools: Sequence[Tool]
    gate: Gate
    approver: Approver | None
    masker: Masker
    max_steps: int
    retry: RetryPolicy
    compaction: bool = True
    context_window: int | None = None


class Turn:
    """One turn under way. Iterate over `events()`; `stop()` ends it early, with `TurnEnded` as its last event.

    `over` is true from shortly before `TurnEnded`.
    """

    def __init__(self, plan: TurnPlan, message: UserMessage) -> None:
        self._plan = plan
        self._message = masked_request(message, plan.masker)
        self._id = secrets.token_hex(6)
        self._journal = Journal(plan.conversation.log)
        self._limits = Limits(max_steps=plan.max_steps)
        self._toolbox = TurnToolbox(
            plan.tools, gate=plan.gate, approver=plan.approver, journal=self._journal, masker=plan.masker
        )
        self._partial = _Partial()
        self._last: AssistantMessage | None = None
        self._task: asyncio.Task[None] | None = None
        self._generating = False
        self._stopped = False
        self.over = False

    def stop(self) -> None:
        """Interrupt the model and the running commands; asking twice changes nothing."""
        if self._generating and not self._stopped and self._task is not None:
            self._task.cancel()
        self._stopped = True

    @property
    def conversation(self) -> Conversation:
        return self._plan.conversation

    async def wait(self) -> None:
        """Wait until nothing of the turn runs any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run the turn and give its events; closing the iterator stops it and waits until nothing runs any more."""
        self._task = asyncio.create_task(self._run())
        try:
            async for event in self._journal.events():
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
        await self._journal.record(self._started())

    def _started(self) -> TurnStarted:
        plan = self._plan
        return TurnStarted(
            plan.conversation.id, self._id, self._message, plan.backend.name, plan.model, time=time.time()
        )

    async def _generate(self) -> TurnEnded:
        """The turn's end, whatever happens; only from here to there can `stop` interrupt."""
        if self._stopped:
            return self._ended("interrupted", exit_code=130)
        self._generating = True
        try:
            return await self._run_backend()
        except VMPilotError as error:
            return self._ended("failed", error=str(error), exit_code=error.exit_code)
        except asyncio.CancelledError:
            return self._ended("interrupted", exit_code=130)
        finally:
            self._generating = False

    async def _run_backend(self) -> TurnEnded:
        try:
            async with aclosing(self._events_of_backend()) as events:
                async for event in events:
                    await self._take(event)
        except LimitStop as stop:
            await self._journal.record(stop.event)
            return self._ended("limit", exit_code=stop.exit_code)
        return await self._verdict()

    def _events_of_backend(self) -> AsyncGenerator[BackendEvent, None]:
        plan = self._plan
        request = GenerationRequest(
            conversation_id=plan.conversation.id,
            turn_id=self._id,
            messages=plan.conversation.history(self._message),
            system=plan.system,
            model=plan.model,
            settings=plan.settings,
            tools=tuple(tool.spec for tool in plan.tools),
            retry=plan.retry,
        )
        model_calls = SupervisedModelCalls(
            request,
            limits=self._limits,
            compactor=self._compactor() if plan.compaction else None,
            prepared=plan.conversation.prepared,
        )
        return plan.backend.generate(request, self._toolbox, model_calls)

    def _compactor(self) -> Compactor:
        plan = self._plan
        return Compactor(
            self._journal,
            frame=weigh_frame(plan.system, [tool.spec for tool in plan.tools]),
            window=plan.context_window,
            find_window=lambda: None if self._model_info is None else self._model_info.context_window,
            reserve=plan.settings.max_tokens or 0,
            told=plan.conversation.told,
        )

    @cached_property
    def _model_info(self) -> ModelInfo | None:
        """Asked for once, and only when it is needed: a backend may import its library for it."""
        return self._plan.backend.model_info(self._plan.model)

    async def _take(self, event: BackendEvent) -> None:
        self._partial.add(event)
        if not isinstance(event, MessageCompleted):
            self._journal.emit(event)
            return
        self._limits.end_step(event.usage)
        if event.message.tool_calls:
            self._journal.hold(event)
        else:
            await self._journal.record(event)
        self._last = event.message
        await self._toolbox.message_recorded(event.message)

    async def _verdict(self) -> TurnEnded:
        """How a turn ended whose backend is done."""
        last = self._last
        if last is None or last.tool_calls:
            name = self._plan.backend.name
            return self._ended("failed", error=f"backend {name} ended the turn without an answer", exit_code=5)
        if last.finish == "length":
            text = "The answer is cut: the model reached its limit of tokens. Say “continue” to go on."
            await self._journal.record(LimitReached("tokens", self._limits.usage.output_tokens, text))
            return self._ended("limit", exit_code=3)
        if not last.ended_properly:
            error = {
                "content_filter": "the provider's content filter cut the answer: ask in other words",
                "refusal": "the model refused to answer",
            }.get(last.finish, "the answer broke off before its end: ask again")
            return self._ended("failed", error=error, exit_code=1)
        if self._toolbox.denied_last:
            return self._ended("denied", exit_code=4)
        return self._ended("answered", exit_code=0)

    def _ended(self, reason: EndReason, *, error: str | None = None, exit_code: int) -> TurnEnded:
        usage = self._limits.usage
        cost = price(usage, self._model_info) if self._limits.steps or usage != Usage() else 0.0
        return TurnEnded(reason, time.time(), usage, cost, error, exit_code)

    async def _end(self, end: TurnEnded) -> None:
        self.over = True
        partial = self._partial.message()
        try:
            if partial is not None:
                await self._journal.record(MessageCompleted(partial))
            await self._journal.record(*unanswered_calls(self._journal.told), end)
        except StoreError as error:
            self._journal.emit(msgspec.structs.replace(end, reason="failed", error=str(error), exit_code=1))


class _Partial:
    """What the model has said since its last complete message: kept, and marked as cut, if no end follows."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def add(self, event: BackendEvent) -> None:
        match event:
            case TextDelta():
                self._text.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case MessageCompleted() | Retrying(discard=True):
                self._text.clear()
                self._reasoning.clear()
            case _:
                pass

    def message(self) -> AssistantMessage | None:
        if not self._text and not self._reasoning:
            return None
        return AssistantMessage("".join(self._text), "".join(self._reasoning), finish="cut")


def price(usage: Usage, model: ModelInfo | None) -> float | None:
    """What the tokens cost in US dollars, None where a price is unknown."""
    if model is None or model.input_price is None or model.output_price is None:
        return None
    cached_price = model.input_price if model.cached_input_price is None else model.cached_input_price
    uncached = usage.input_tokens - usage.cached_tokens
    return uncached * model.input_price + usage.cached_tokens * cached_price + usage.output_tokens * model.output_price
