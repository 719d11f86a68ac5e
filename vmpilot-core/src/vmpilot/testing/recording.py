"""The requests that the scripted server received, and waiting for them from another thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False, slots=True)
class RecordedRequest:
    """A request as it arrived; the server fills in the rest while it answers. Times are `time.monotonic()` seconds.

    `body` is the parsed JSON, or None if it was missing or invalid. Header names are in lower case. The repr omits them
    and the query, because they contain keys and conversations. `client_gone` is set when the client hung up before the
    end of the answer.
    """

    number: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    raw_size: int
    query: str = field(default="", repr=False)
    arrived_at: float = field(default_factory=time.monotonic)
    finished_at: float | None = None
    client_gone: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat request; raises TypeError or KeyError for any other."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages


class Recorder:
    """Keeps the requests (the last `keep`, or all if None) and wakes threads that wait for a request. Thread-safe."""

    def __init__(self, keep: int | None = None) -> None:
        self._changed = threading.Condition()
        self._requests: deque[RecordedRequest] = deque(maxlen=keep)
        self._hangups: deque[RecordedRequest] = deque(maxlen=keep)
        self._arrived = 0

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The requests so far, oldest first."""
        with self._changed:
            return tuple(self._requests)

    def add(self, method: str, target: str, headers: Mapping[str, str], body: Any, raw_size: int) -> RecordedRequest:
        """Record a request that has just arrived."""
        with self._changed:
            self._arrived += 1
            path, _, query = target.partition("?")
            request = RecordedRequest(self._arrived, method, path, headers, body, raw_size, query)
            self._requests.append(request)
            self._changed.notify_all()
            return request

    def add_hangup(self, request: RecordedRequest) -> None:
        """Record that the client of this request disconnected before the answer was complete."""
        with self._changed:
            request.client_gone.set()
            self._hangups.append(request)
            self._changed.notify_all()

    def wait_for_requests(self, count: int, timeout: float) -> tuple[RecordedRequest, ...]:
        """Wait until `count` requests have arrived in all; raises TimeoutError after `timeout` seconds."""
        self._wait(lambda: self._arrived >= count, timeout, f"{count} requests")
        return self.requests

    def wait_for_hangup(self, timeout: float) -> RecordedRequest:
        """Wait until a client has hung up during its answer; raises TimeoutError after `timeout` seconds."""
        self._wait(lambda: bool(self._hangups), timeout, "a client to hang up")
        return self._hangups[0]

    def _wait(self, reached: Callable[[], bool], timeout: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise TimeoutError(
                    f"waited {timeout:g} s for {what}; the scripted server has received {self._arrived} requests "
                    f"and {len(self._hangups)} hang-ups"
                )
