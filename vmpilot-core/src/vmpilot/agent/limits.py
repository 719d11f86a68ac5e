"""What a turn may use up. The core counts, so it is the same on every backend."""

from __future__ import annotations

from vmpilot.contract import LimitReached, TurnStopped, Usage


class LimitStop(TurnStopped):
    """A limit was reached; `event` says which."""

    def __init__(self, event: LimitReached) -> None:
        super().__init__(event.text)
        self.event = event


class Limits:
    """Counts a turn's calls to the model against `max_steps`."""

    def __init__(self, *, max_steps: int) -> None:
        self._max_steps = max_steps
        self.steps = 0
        self.usage = Usage()

    def begin_step(self) -> None:
        """A call to the model is about to be made. Raises `LimitStop` where none is left."""
        if self.steps >= self._max_steps:
            text = (
                f"Stopped after {self.steps} steps, the limit for one request. Say “continue” to go on, "
                f"or raise the limit with --max-steps."
            )
            raise LimitStop(LimitReached("steps", self._max_steps, text))

    def end_step(self, usage: Usage | None) -> None:
        """A call to the model was made. Raises `LimitStop` where it was one too many (it was not supervised)."""
        if self.steps >= self._max_steps:
            self.begin_step()
        self.steps += 1
        self.add_usage(usage)

    def add_usage(self, usage: Usage | None) -> None:
        """Count a call that is no step of its own, such as one for a summary."""
        self.usage += usage or Usage()
