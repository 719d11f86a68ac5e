"""Writes a recording line by line during the session. If it cannot be written, the session continues without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from vmpilot.contract import (
    Event,
    Message,
    MessageCompleted,
    ModelCall,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageError,
)
from vmpilot.engine.recording._records import Exchange, Record, RecordingStarted, Seen, TurnAsked, encode_record


class RecordingWriter:
    """A new recording. `mask` removes secrets from a text. `problem` says why it is incomplete, or is None."""

    def __init__(self, path: Path, *, mask: Callable[[str], str]) -> None:
        """Raises `UsageError` if the file already exists or cannot be created."""
        self.path = path
        self.problem: str | None = None
        self._mask = mask
        self._file = _create(path)
        self._write(RecordingStarted(version("vmpilot-core")))

    def begin_turn(self, asked: TurnAsked) -> TurnRecorder:
        """The recording of one turn."""
        self._write(asked)
        return TurnRecorder(asked, self._write)

    def close(self) -> None:
        """Stop writing."""
        self._file.close()

    def _write(self, record: Record) -> None:
        if self.problem is not None or self._file.closed:
            return
        try:
            self._file.write(encode_record(record, self._mask))
        except OSError as error:
            self.problem = f"the recording {self.path} is incomplete: {error.strerror}"


class TurnRecorder:
    """One turn's part of a recording."""

    def __init__(self, asked: TurnAsked, write: Callable[[Record], None]) -> None:
        self._asked = asked
        self._write = write
        self._sent: Sequence[Message] = ()

    def see(self, event: Event) -> None:
        """Record an event, except the deltas of a message: a secret split across two deltas could not be masked."""
        if not isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            self._write(Seen(self._asked.turn, event))

    def exchange(self, call: ModelCall, *, answer: MessageCompleted | None = None, error: str | None = None) -> None:
        """Record a call to the model with its answer or its error."""
        kept = _count_equal(self._sent, call.messages)
        self._sent = call.messages
        self._write(
            Exchange(
                self._asked.turn,
                call.model,
                kept,
                call.messages[kept:],
                system=None if call.system == self._asked.system else call.system,
                with_tools=bool(call.tools),
                answer=answer,
                error=error,
            )
        )


def _count_equal(before: Sequence[Message], now: Sequence[Message]) -> int:
    count = 0
    for old, new in zip(before, now, strict=False):
        if old is not new and old != new:
            break
        count += 1
    return count


def _create(path: Path) -> BinaryIO:
    """A file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} already exists; choose a new file name") from None
    except OSError as error:
        raise UsageError(f"cannot write the recording {path}: {error.strerror}") from error
    return os.fdopen(descriptor, "wb", buffering=0)
