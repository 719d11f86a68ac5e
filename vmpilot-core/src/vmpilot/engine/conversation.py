"""One conversation while it is open: its log, its history in memory, its working folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vmpilot.contract import (
    Event,
    HistoryCompacted,
    HistoryImported,
    Message,
    MessageCompleted,
    ToolFinished,
    TurnStarted,
    UserMessage,
)
from vmpilot.engine.history import messages_in, unanswered_calls
from vmpilot.engine.outgoing import Prepared
from vmpilot.machine.workspace import Workspace
from vmpilot.store import ConversationLog


class Conversation:
    """Opened from its log; `close` lets others write to it."""

    def __init__(self, log: ConversationLog, workspace: Workspace, events: Iterable[Event]) -> None:
        self.log = log
        self.workspace = workspace
        self._events = list(events)
        self._sure = True
        self.prepared = Prepared(log.conversation_id)
        self._restore_folder()

    @classmethod
    async def open(cls, log: ConversationLog, workspace: Workspace) -> Conversation:
        """Read the log, and close it if that fails; calls without a result get one, once."""
        try:
            events = await _read_mended(log)
        except BaseException:
            await log.close()
            raise
        return cls(log, workspace, events)

    async def refresh(self) -> None:
        """Read the log again if a turn could not confirm its writes. Raises `StoreError`."""
        if not self._sure:
            self._events = list(await _read_mended(self.log))
            self.prepared = Prepared(self.id)
            self._sure = True

    @property
    def id(self) -> str:
        return self.log.conversation_id

    def history(self, *then: UserMessage) -> tuple[Message, ...]:
        """The complete history, then the user's new message; valid for a provider."""
        return messages_in(self._events, *then)

    def history_after(self, events: Iterable[Event]) -> tuple[Message, ...]:
        """The complete history, including these events of the current turn."""
        return messages_in((*self._events, *events))

    @property
    def last_turn(self) -> TurnStarted | None:
        """The start of the previous turn, with its settings."""
        return next((event for event in reversed(self._events) if isinstance(event, TurnStarted)), None)

    @property
    def told(self) -> MessageCompleted | None:
        """The model's last message, with the provider's count for it; None if that is outdated."""
        for event in reversed(self._events):
            match event:
                case MessageCompleted():
                    return event
                case HistoryCompacted() | HistoryImported():
                    return None
                case _:
                    pass
        return None

    async def import_history(self, messages: Iterable[Message]) -> None:
        """Start with imported messages."""
        event = HistoryImported(tuple(messages))
        await self.log.append(event)
        self._events.append(event)

    def extend(self, events: Iterable[Event], *, sure: bool = True) -> None:
        """Add a turn's recorded events to the history; unless `sure`, the log may contain more."""
        self._events.extend(events)
        self._sure = self._sure and sure

    async def close(self) -> None:
        await self.log.close()

    def _restore_folder(self) -> None:
        for event in reversed(self._events):
            if isinstance(event, ToolFinished) and event.folder is not None:
                self.workspace.move_to(Path(event.folder))
                return


async def _read_mended(log: ConversationLog) -> tuple[Event, ...]:
    events = await log.read()
    if missing := unanswered_calls(events):
        await log.append(*missing)
    return (*events, *missing)
