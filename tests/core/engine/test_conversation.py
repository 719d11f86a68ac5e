"""An open conversation."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpilot.contract import (
    AssistantMessage,
    Event,
    HistoryCompacted,
    MessageCompleted,
    Notice,
    StoreError,
    TurnEnded,
    Usage,
)
from vmpilot.engine import Conversation
from vmpilot.machine.workspace import Workspace
from vmpilot.store import ConversationLog, ConversationStore


async def test_a_conversation_that_cannot_be_read_releases_its_lease(
    store: ConversationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_log: ConversationLog) -> tuple[Event, ...]:
        raise StoreError("the disk does not answer")

    log = await store.create()
    await log.append(Notice("a"))
    with monkeypatch.context() as patch:
        patch.setattr(ConversationLog, "read", fail)
        with pytest.raises(StoreError, match="does not answer"):
            await Conversation.open(log, Workspace(tmp_path))
    again = await store.open(log.conversation_id)
    assert await again.read() == (Notice("a"),)
    await again.close()


async def test_the_last_token_count_is_valid_until_the_history_changes(conversation: Conversation) -> None:
    told, untold = MessageCompleted(AssistantMessage("Yes."), Usage(100, 1)), MessageCompleted(AssistantMessage("No."))
    ended, compacted = TurnEnded("answered", time=0.0), HistoryCompacted("Short.")
    seen = []
    for event in (told, ended, compacted, untold):
        conversation.extend([event])
        seen.append(conversation.told)
    assert seen == [told, told, None, untold]
