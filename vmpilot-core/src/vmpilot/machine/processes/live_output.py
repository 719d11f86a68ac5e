"""Passes decoded output on as it comes, few times a second however much there is; nothing is dropped."""

from collections.abc import Callable
from math import inf

_INTERVAL = 0.05
_PILE_LIMIT = 512 * 1024


class LiveOutput:
    """Gathers pieces of text and delivers them joined: the first at once, then at most every 50 ms.

    Where more than half a million characters pile up sooner they are delivered sooner, so memory stays bounded.
    `due` is the moment (seconds of the caller's clock) from which `deliver_due` has something to do.
    """

    def __init__(self, deliver: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._pile: list[str] = []
        self._pile_chars = 0
        self._allowed_from = -inf
        self._stopped = False

    @property
    def due(self) -> float:
        """When to call `deliver_due`: infinity while there is nothing to deliver."""
        if not self._pile:
            return inf
        return -inf if self._pile_chars > _PILE_LIMIT else self._allowed_from

    def add(self, text: str) -> None:
        """Take a piece; nothing is delivered yet."""
        if text and not self._stopped:
            self._pile.append(text)
            self._pile_chars += len(text)

    def deliver_due(self, now: float) -> None:
        """Deliver what has gathered, if its time has come."""
        if self.due <= now:
            self._allowed_from = now + _INTERVAL
            self.flush()

    def stop(self) -> None:
        """Deliver nothing any more."""
        self._stopped = True
        self._pile.clear()

    def flush(self) -> None:
        """Deliver what has gathered, whatever the time."""
        if self._pile:
            text = "".join(self._pile)
            self._pile.clear()
            self._pile_chars = 0
            self._deliver(text)
