"""When a turn's conversation is compacted, and how: old tool outputs first, a summary only if that is not enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    ContextOverflow,
    HistoryCompacted,
    Message,
    MessageCompleted,
    ModelError,
    Notice,
    ToolResult,
    Usage,
    UserMessage,
)
from vmpilot.engine.compacted_history import ASK, compact, left_out
from vmpilot.engine.compaction.summary import SMALLEST_PART, Ask, summarise
from vmpilot.engine.history import sendable
from vmpilot.engine.journal import Journal
from vmpilot.engine.outgoing import Outgoing
from vmpilot.engine.tokens import TokenGauge, estimate_message_tokens, estimate_tokens

NEAR_END = 0.85
"""Share of the window above which the conversation is compacted."""
ENOUGH = 0.6
"""Share of the window that the request may use after old outputs are shortened; above it, a summary is created."""

_KEPT = 0.25
_PART = 0.7
_SUMMARY = 0.15
_WORTH = 0.1
_LEAST = 100
"""Minimum length of a summary, in tokens."""

_TRIES = 2
_SMALLEST_WINDOW = 4_000
_OUTPUT_LIMITS = (4_000, 1_000, 300)


class Compactor:
    """Watches the messages that one turn sends, and shortens them if they exceed the model's window.

    `overhead` is the estimate for the rest of the request, `reserve` the tokens available for the answer. The window is
    `window` tokens, or the result of `find_window` once it is needed. `told` is the model's last message in the
    conversation, with the provider's token counts for it.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        overhead: int,
        window: int | None = None,
        find_window: Callable[[], int | None] = lambda: None,
        reserve: int = 0,
        told: MessageCompleted | None = None,
    ) -> None:
        self._journal = journal
        self._overhead = overhead
        self._window = window
        self._find_window = find_window
        self._reserve = reserve
        self._told = told
        self._gauge = TokenGauge()
        self._tried_at = 0

    def learn(self, outgoing: Outgoing, usage: Usage | None) -> None:
        """The provider has counted the request."""
        if usage is not None:
            self._gauge.learn(self._overhead + outgoing.estimate, usage.input_tokens)

    def change_model(self, window: int | None) -> None:
        """From now on, another model is called; `window` is the size of its window in tokens, if known."""
        self._window = window
        self._tried_at = 0

    async def make_room(self, outgoing: Outgoing, ask: Ask) -> None:
        """Compact the messages to send if they nearly fill the window; if that fails, they are sent unchanged."""
        self._learn_from_log(outgoing)
        window = self._filled_window(outgoing)
        if window is None or outgoing.estimate < 1.1 * self._tried_at:
            return
        try:
            await self._compact(outgoing, ask, window=window, worth=_WORTH)
        except ModelError as error:
            self._journal.emit(Notice(f"The conversation could not be summarized, so it is sent in full: {error}"))
        self._tried_at = outgoing.estimate

    async def recover(self, outgoing: Outgoing, ask: Ask, *, error: ContextOverflow, tries: int) -> None:
        """Compact a conversation that exceeded the window, with a summary if `tries` earlier attempts failed.

        If that cannot help, raises `ContextOverflow`, or, if the model failed to write the summary, a `ModelError` that
        lets another model try.
        """
        tokens = self._tokens(outgoing.estimate)
        self._window = min(self._window or tokens, tokens)
        try:
            shorter = tries < _TRIES and await self._compact(
                outgoing, ask, window=self._window, worth=0.0, by_summary=tries > 0
            )
        except ModelError as failure:
            kind = ModelError if failure.another_may_answer else ContextOverflow
            raise kind(f"the conversation could not be summarized ({failure}), and {error}") from failure
        if not shorter:
            raise ContextOverflow(f"compacting {'did not' if tries else 'cannot'} help: {error}") from error
        self._tried_at = outgoing.estimate

    async def summarise(self, outgoing: Outgoing, ask: Ask) -> bool:
        """Replace the messages with a summary now, and return whether that made them shorter. Raises `ModelError`."""
        self._learn_from_log(outgoing)
        window = self._known_window() or 2 * max(self._tokens(outgoing.estimate), _SMALLEST_WINDOW)
        return await self._compact(outgoing, ask, window=window, worth=0.0, by_summary=True, kept=0.0)

    def _tokens(self, estimate: int) -> int:
        return self._gauge.tokens(self._overhead + estimate)

    def _learn_from_log(self, outgoing: Outgoing) -> None:
        """The provider's count for the model's last message covers the messages before it."""
        told, self._told = self._told, None
        if told is None or told.usage is None:
            return
        estimate = self._overhead + outgoing.estimate
        for message in reversed(outgoing.messages):
            estimate -= estimate_message_tokens(message)
            if message is told.message:
                self._gauge.learn(estimate, told.usage.input_tokens)
                return

    def _known_window(self) -> int | None:
        if self._window is None:
            self._window = max(self._find_window() or 0, 0)
        return self._window or None

    def _filled_window(self, outgoing: Outgoing) -> int | None:
        """The window, if the request nearly fills it."""
        tokens = self._tokens(outgoing.estimate)
        if self._window is None and tokens < _SMALLEST_WINDOW * NEAR_END:
            return None  # looking up the window may take long
        window = self._known_window()
        if window is None:
            return None
        reserve = self._reserve if self._reserve < window / 2 else 0
        return window if tokens > min(window * NEAR_END, window - reserve) else None

    async def _compact(
        self,
        outgoing: Outgoing,
        ask: Ask,
        *,
        window: int,
        worth: float,
        by_summary: bool = False,
        kept: float = _KEPT,
    ) -> bool:
        """Whether the messages to send became shorter; shares are fractions of the window."""
        messages = outgoing.messages
        event = None if by_summary else self._shortening(messages, window)
        if event is None:
            event = await self._summary(messages, ask, window=window, worth=worth, kept=kept)
        compacted = messages if event is None else compact(messages, event)
        before, after = self._tokens(outgoing.estimate), self._tokens(estimate_tokens(compacted))
        if event is None or after >= before:
            return False
        await self._journal.record(msgspec.structs.replace(event, tokens_before=before, tokens_after=after))
        outgoing.replace(compacted)
        return True

    def _shortening(self, messages: Sequence[Message], window: int) -> HistoryCompacted | None:
        """The mildest shortening of old outputs that is sufficient."""
        for limit in _OUTPUT_LIMITS:
            event = HistoryCompacted(kept=_unseen(messages), output_limit=limit)
            if self._tokens(estimate_tokens(compact(messages, event))) <= window * ENOUGH:
                return event
        return None

    async def _summary(
        self, messages: Sequence[Message], ask: Ask, *, window: int, worth: float, kept: float
    ) -> HistoryCompacted | None:
        """The event for a summary, or None if it would replace too little."""
        estimate = self._gauge.estimate(window)
        count = _count_kept(messages, estimate * kept, at_least=_unseen(messages) if kept else 1)
        gone = left_out(messages, count)
        new = gone[2:] if gone[:1] == (ASK,) else gone
        if estimate_tokens(new) < max(estimate * worth, _LEAST):
            return None
        ready = [sendable(message) for message in gone]
        room, longest = max(int(estimate * _PART), SMALLEST_PART), max(int(estimate * _SUMMARY), 1)
        return HistoryCompacted(await summarise(ready, ask, room=room, longest=longest), count)


def _unseen(messages: Sequence[Message]) -> int:
    """The number of the model's last messages whose results it has not seen yet."""
    return 1 if messages and isinstance(messages[-1], ToolResult) else 0


def _count_kept(messages: Sequence[Message], room: float, *, at_least: int) -> int:
    """The number of the model's latest messages that fit into `room`, with their results."""
    count = estimate = 0
    for message in reversed(messages):
        if isinstance(message, UserMessage):
            break
        estimate += estimate_message_tokens(message)
        if isinstance(message, AssistantMessage):
            if count >= at_least and estimate > room:
                break
            count += 1
    return count
