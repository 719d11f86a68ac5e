"""The conversation log: one append-only list of events per conversation, the only truth about what happened."""

from vmpilot.store.conversations import ConversationLog, ConversationStore

__all__ = ["ConversationLog", "ConversationStore"]
