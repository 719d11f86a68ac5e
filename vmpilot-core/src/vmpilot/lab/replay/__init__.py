"""Replays a recording on a backend and finds the differences."""

from vmpilot.lab.replay._differences import Difference
from vmpilot.lab.replay._turn import RecordingMismatch, Replay, replay_turn

__all__ = ["Difference", "Replay", "RecordingMismatch", "replay_turn"]
