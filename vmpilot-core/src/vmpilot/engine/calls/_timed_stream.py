"""A backend's stream with time limits: it is read in a separate task, and closed in any case.

This way, waiting for the stream ends even if a library swallows the cancellation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

from vmpilot.contract import (
    BackendEvent,
    BadResponse,
    MessageCompleted,
    ModelCall,
    ModelTimeout,
    ReasoningDelta,
    StreamInterrupted,
    TextDelta,
    ToolCallDelta,
)

_log = logging.getLogger(__name__)

_AHEAD = 256
"""Events that are read ahead."""

_CLOSING = 0.5
"""Seconds that a stream has to end when it is closed; after that it is left running."""


class TimedStream:
    """`next_event` returns the events of one call; leaving the context closes the stream.

    Only time spent waiting in `next_event` counts against the limits.
    """

    def __init__(self, stream: AsyncGenerator[BackendEvent, None], call: ModelCall) -> None:
        self._stream = stream
        self._call = call
        self._arrived: deque[BackendEvent] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._complete = False
        self._waited = 0.0
        self._silent = 0.0
        self._begun = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._draw())
        self._task.add_done_callback(self._drawn)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        self._room.set()
        try:
            if self._complete and not self._task.done():
                await asyncio.wait([self._task], timeout=_CLOSING)
        finally:
            if not self._task.done():
                await self._give_up()

    async def next_event(self) -> BackendEvent:
        """The next event.

        Raises `ModelTimeout`, `BadResponse` if the stream ends without a message, and the stream's errors.
        """
        if not self._arrived:
            await self._wait()
        event = self._arrived.popleft()
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            self._silent, self._begun = 0.0, True
        return event

    async def _give_up(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=_CLOSING)
        if not self._task.done():
            _log.warning("the call to %s ignores its cancellation; it is left running", self._call.model)

    async def _draw(self) -> None:
        async with aclosing(self._stream) as stream:
            async for event in stream:
                self._arrived.append(event)
                self._news.set()
                if isinstance(event, MessageCompleted):
                    self._complete = True
                    return
                if len(self._arrived) >= _AHEAD and not self._closed:
                    self._room.clear()
                    await self._room.wait()
                if self._closed:
                    return

    def _drawn(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it
        self._news.set()

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        limits = self._call.settings.time_limits
        backoff = (limits.gap if self._begun else limits.first_content) - self._silent
        left = limits.whole - self._waited
        self._room.set()
        self._news.clear()
        if not self._task.done():
            try:
                async with asyncio.timeout(max(0.0, min(backoff, left))):
                    await self._news.wait()
            except TimeoutError as error:
                raise self._timed_out(whole=left <= backoff) from error
        elapsed = loop.time() - started
        self._waited += elapsed
        self._silent += elapsed
        if not self._arrived:
            self._raise_end()

    def _raise_end(self) -> None:
        if self._task.cancelled():
            raise StreamInterrupted(f"the call to {self._call.model} was canceled by its library")
        self._task.result()
        raise BadResponse(f"the backend ended a call to {self._call.model} without a message")

    def _timed_out(self, *, whole: bool) -> ModelTimeout:
        model, limits = self._call.model, self._call.settings.time_limits
        if whole:
            return ModelTimeout(f"{model} did not finish within {limits.whole:g} s")
        if self._begun:
            return ModelTimeout(f"{model} stopped mid-answer and sent nothing for {limits.gap:g} s")
        return ModelTimeout(f"{model} sent nothing for {limits.first_content:g} s")
