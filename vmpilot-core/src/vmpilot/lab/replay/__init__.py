"""A recording played to a backend, and where what it asks and does is not as it was recorded."""

from vmpilot.lab.replay.differences import Difference
from vmpilot.lab.replay.turn import Replay, TapeMiss, replay_turn

__all__ = ["Difference", "Replay", "TapeMiss", "replay_turn"]
