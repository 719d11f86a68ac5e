"""The conversation log: one append-only list of events per conversation, the only record of what happened."""

from vmpilot.store._conversations import ConversationLog, ConversationStore
from vmpilot.store._records import Chat, Command, Cost, CostBy, Hit

__all__ = ["Chat", "Command", "ConversationLog", "ConversationStore", "Cost", "CostBy", "Hit"]
