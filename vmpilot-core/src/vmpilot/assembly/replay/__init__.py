"""A tape played to a backend, and where what it asks and does is not as it was taped."""

from vmpilot.assembly.replay.differences import Difference
from vmpilot.assembly.replay.turn import Replay, TapeMiss, replay_turn

__all__ = ["Difference", "Replay", "TapeMiss", "replay_turn"]
