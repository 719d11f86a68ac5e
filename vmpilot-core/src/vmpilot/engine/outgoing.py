"""A turn's messages as sent: compacted, valid for any provider, with tool output marked as data.

Each message is prepared and estimated once.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmpilot.contract import Message, ToolResult
from vmpilot.engine.history import sendable
from vmpilot.engine.tokens import estimate_message_tokens
from vmpilot.engine.tool_data import as_data


class Prepared:
    """The messages of a conversation as sent to a provider; each is prepared and estimated once for all turns."""

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._known: dict[
            int, tuple[Message, Message, int]
        ] = {}  # keeps the message alive, so that its id is not reused

    def of(self, message: Message) -> tuple[Message, int]:
        """The message as sent, and its estimate."""
        known = self._known.get(id(message))
        if known is None:
            ready = sendable(message)
            if isinstance(ready, ToolResult):
                ready = as_data(ready, conversation_id=self._conversation_id)
            known = self._known[id(message)] = (message, ready, estimate_message_tokens(ready))
        return known[1:]


class Outgoing:
    """A backend passes all messages at each step; only those that are new since the last step cost anything.

    `messages` are the messages to send, in their original form; `estimate` is their total.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._given: list[Message] = []
        self._ready: list[Message] = []
        self.messages: list[Message] = []
        self.estimate = 0

    @property
    def ready(self) -> tuple[Message, ...]:
        """The messages as sent to any provider."""
        return tuple(self._ready)

    def take(self, messages: Sequence[Message]) -> None:
        """Set the complete list of messages. Replaced messages stay replaced as long as they are at the start of it."""
        known = len(self._given)
        if list(messages[:known]) != self._given:
            self._given, known = [], 0
            self.replace(())
        self._given += messages[known:]
        self._add(messages[known:])

    def replace(self, messages: Sequence[Message]) -> None:
        """Send these in place of all messages so far."""
        self.messages, self._ready, self.estimate = [], [], 0
        self._add(messages)

    def _add(self, messages: Sequence[Message]) -> None:
        self.messages += messages
        for message in messages:
            ready, estimate = self._prepared.of(message)
            self._ready.append(ready)
            self.estimate += estimate
