"""What is wrong with an answer that came with a good status; inside this package only, never raised out of it."""

from __future__ import annotations

from typing import Any


class AnswerRefused(Exception):
    """The provider put an error into its answer; `body` is that error."""

    def __init__(self, body: Any) -> None:
        super().__init__("the answer holds an error")
        self.body = body


class UnreadableAnswer(Exception):
    """The provider's answer is no answer; `received` is what came instead."""

    def __init__(self, received: bytes) -> None:
        super().__init__("the answer cannot be read")
        self.received = received
