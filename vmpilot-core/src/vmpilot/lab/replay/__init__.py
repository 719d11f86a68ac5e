"""A recording played to a backend, and where what it asks and does is not as it was recorded."""

from vmpilot.lab.replay._differences import Difference
from vmpilot.lab.replay._turn import RecordingMismatch, Replay, replay_turn

__all__ = ["Difference", "Replay", "RecordingMismatch", "replay_turn"]
