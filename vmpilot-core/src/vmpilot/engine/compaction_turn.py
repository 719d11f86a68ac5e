"""A turn without a request: the user wants the conversation summarized now."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

from vmpilot.contract import (
    BackendEvent,
    GenerationRequest,
    Notice,
    Retrying,
    TurnEnded,
    Usage,
    UserMessage,
)
from vmpilot.engine.calls import Emitter
from vmpilot.engine.compaction.summary import spoken
from vmpilot.engine.costs import estimate_usage
from vmpilot.engine.outgoing import Outgoing
from vmpilot.engine.plan import TurnPlan
from vmpilot.engine.single_call import ask_once
from vmpilot.engine.tokens import estimate_text_tokens
from vmpilot.engine.turn import Turn

NOTHING = "Nothing to compact: a summary would not be shorter than the conversation."


class CompactionTurn(Turn):
    """Works with every backend, because an ordinary turn calls the model. Without a model call, nothing is recorded."""

    def __init__(self, plan: TurnPlan) -> None:
        super().__init__(replace(plan, max_steps=sys.maxsize), UserMessage(()))  # a summary has its own call limit

    async def _begin(self) -> None:
        await self._plan.conversation.refresh()
        self._journal.hold(self._started())
        for notice in self._plan.notices:
            self._tell(notice)

    async def _run_backend(self) -> TurnEnded:
        outgoing = Outgoing(self._plan.conversation.prepared)
        outgoing.take(self._plan.conversation.history())
        if not await self._compactor().summarise(outgoing, self._ask):
            self._journal.emit(Notice(NOTHING))
        return self._ended("answered", exit_code=0)

    async def _ask(self, system: str, text: str) -> str:
        plan, endpoint = self._plan, self._endpoint
        messages = (UserMessage.from_text(text),)
        request = GenerationRequest(
            plan.conversation.id, self._id, messages, system, endpoint.model, endpoint.settings, retry=plan.retry
        )
        completed = await ask_once(
            plan.backend,
            request,
            self._chain,
            limits=self._limits,
            emit=Emitter(self._show_trouble),
            cache=self._cache,
            recording=self._recording,
        )
        estimate = partial(estimate_usage, messages, completed.message, overhead=estimate_text_tokens(system))
        self._limits.add_usage(completed.usage, model=completed.model, estimate=estimate)
        return spoken(completed.message)

    def _show_trouble(self, event: BackendEvent) -> None:
        if isinstance(event, Retrying | Notice):
            self._journal.emit(event)

    async def _end(self, end: TurnEnded) -> None:
        if self._journal.recorded or end.usage != Usage() or end.reason == "limit":
            await super()._end(end)
        else:
            self.over = True
            self._journal.emit(end)
