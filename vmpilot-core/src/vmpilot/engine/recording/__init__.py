"""A session on tape: what the model was asked, what it said, and what was seen of it. Knows no agent, no backend."""

from vmpilot.engine.recording.reading import Tape, TapedTurn, read_tape
from vmpilot.engine.recording.records import TAPE_VERSION, Exchange, Seen, TapeBegun, TurnAsked
from vmpilot.engine.recording.writing import TapeWriter, TurnTape

__all__ = [
    "TAPE_VERSION",
    "Exchange",
    "Seen",
    "Tape",
    "TapeBegun",
    "TapeWriter",
    "TapedTurn",
    "TurnAsked",
    "TurnTape",
    "read_tape",
]
