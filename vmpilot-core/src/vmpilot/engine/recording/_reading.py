"""Reads a recording back, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from vmpilot.contract import Event, Message, MessageCompleted, UsageError, UserMessage
from vmpilot.engine.recording._records import (
    RECORDING_VERSION,
    Exchange,
    Record,
    RecordingStarted,
    Seen,
    TurnAsked,
    decode_record,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An answered call to the model: all messages that were sent, and the answer."""

    system: str
    messages: tuple[Message, ...]
    answer: MessageCompleted


@dataclass(slots=True)
class RecordedTurn:
    """One turn. `calls` are the answered model calls; empty if the backend uses its own client."""

    asked: TurnAsked
    calls: list[Asked] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording's turns; `whole` is false if its last line is incomplete."""

    turns: tuple[RecordedTurn, ...]
    whole: bool


def read_recording(path: Path) -> Recording:
    """Read a recording. Raises `UsageError` if the file is not a recording of this version with valid turns."""
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"cannot read the recording {path}: {error.strerror}") from error
    records = [_read_line(path, number, line) for number, line in enumerate(lines, 1)]
    if not records or not isinstance(records[0], RecordingStarted):
        raise UsageError(f"{path} is not a recording; vmpilot --record FILE makes one")
    if records[0].version != RECORDING_VERSION:
        raise UsageError(
            f"{path} is a recording of version {records[0].version}, but this VMPilot reads version "
            f"{RECORDING_VERSION}; use VMPilot {records[0].vmpilot}"
        )
    turns = _collect(records)
    if not turns:
        raise UsageError(f"{path} contains no turns")
    for turn in turns:
        if not (turn.asked.messages and isinstance(turn.asked.messages[-1], UserMessage)):
            raise UsageError(
                f"{path} is damaged: its turn {turn.asked.turn!r:.40} does not end with the user's message"
            )
    return Recording(tuple(turns), whole=not rest)


def _read_line(path: Path, number: int, line: bytes) -> Record:
    try:
        return decode_record(line)
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{path} is not a recording or is damaged: cannot read line {number} ({error})") from error


def _collect(records: Iterable[Record]) -> list[RecordedTurn]:
    turns: dict[str, RecordedTurn] = {}
    sent: dict[str, tuple[Message, ...]] = {}
    for record in records:
        match record:
            case TurnAsked():
                turns[record.turn] = RecordedTurn(record)
            case Exchange() if record.turn in turns:
                turn = turns[record.turn]
                messages = sent[record.turn] = (*sent.get(record.turn, ())[: record.kept], *record.messages)
                if record.answer is not None:
                    system = turn.asked.system if record.system is None else record.system
                    turn.calls.append(Asked(system, messages, record.answer))
            case Seen() if record.turn in turns:
                turns[record.turn].events.append(record.event)
            case _:
                pass
    return list(turns.values())
