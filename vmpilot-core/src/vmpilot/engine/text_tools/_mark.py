"""The word that makes a block a call: unique to the conversation and unknown to the authors of other text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallMark:
    """`word` follows the backticks of a call. It is constant within a conversation, so that providers can cache it."""

    word: str

    @classmethod
    def of(cls, conversation_id: str) -> CallMark:
        digest = hashlib.sha256(f"{conversation_id}\ncalls".encode("utf-8", "surrogatepass"))
        return cls(f"call-{digest.hexdigest()[:8]}")

    def struck_from(self, text: str) -> str:
        """The text without the word, so that tool output cannot use it to imitate a call."""
        return text.replace(self.word, "call-…")
