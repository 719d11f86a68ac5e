"""A recorded session: model requests, answers, and the events that front ends saw. Independent of agent and backend."""

from vmpilot.engine.recording._reading import RecordedTurn, Recording, read_recording
from vmpilot.engine.recording._records import RECORDING_VERSION, Exchange, RecordingStarted, Seen, TurnAsked
from vmpilot.engine.recording._writing import RecordingWriter, TurnRecorder

__all__ = [
    "RECORDING_VERSION",
    "Exchange",
    "Seen",
    "Recording",
    "RecordingStarted",
    "RecordingWriter",
    "RecordedTurn",
    "TurnAsked",
    "TurnRecorder",
    "read_recording",
]
