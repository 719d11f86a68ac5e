"""A typed wrapper for the chosen backend: pluggy's hooks are untyped, and simple backends may yield plain text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from types import GeneratorType
from typing import Any, cast

import pluggy

from vmpilot.contract import (
    AssistantMessage,
    BackendError,
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    MessageCompleted,
    ModelCalls,
    ModelInfo,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    Toolbox,
    ToolCallDelta,
    VMPilotError,
)
from vmpilot.plugins._installed import InstalledBackend

_log = logging.getLogger(__name__)

_EVENTS = (TextDelta, ReasoningDelta, ToolCallDelta, MessageCompleted, Retrying, Notice)
_DONE = object()


class Backend:
    """A loaded backend. All its exceptions are converted to the contract's errors."""

    def __init__(self, installed: InstalledBackend, hook: pluggy.HookRelay) -> None:
        self.name = installed.name
        self._installed = installed
        self._hook = hook

    @property
    def info(self) -> BackendInfo:
        """The backend's description of itself, or else its distribution's metadata."""
        told = cast("BackendInfo | None", self._hook.describe_backend())
        return told or BackendInfo(self._installed.name, self._installed.version)

    def model_info(self, model: str) -> ModelInfo | None:
        """The backend's knowledge of the model; a backend that fails here counts as knowing nothing."""
        try:
            told = self._hook.describe_model(model=model)
        except Exception:  # noqa: BLE001  a price that is not known must not cost the turn
            _log.debug("backend %s cannot describe %s", self.name, model, exc_info=True)
            return None
        return told if isinstance(told, ModelInfo) else None

    async def run(
        self,
        request: GenerationRequest,
        toolbox: Toolbox,
        model_calls: ModelCalls,
        take: Callable[[BackendEvent], Awaitable[None]],
    ) -> None:
        """Run one turn. `take` receives the events that the backend yields itself; plain text becomes one message.

        Raises the contract's errors; anything else that the backend raises becomes a `BackendError`.
        """
        text: list[str] = []
        try:
            made = self._hook.generate_responses(request=request, toolbox=toolbox, model_calls=model_calls)
            if isinstance(made, Coroutine):
                if (returned := await made) is not None:
                    raise BackendError(f"backend {self.name} returned a {type(returned).__name__}, not None")
                return
            async with aclosing(_as_async(made)) as stream:
                async for item in stream:
                    event = self._event(item)
                    if isinstance(item, str):
                        text.append(item)
                    elif isinstance(event, MessageCompleted):
                        text.clear()
                    await take(event)
        except VMPilotError:
            raise
        except Exception as error:  # a foreign backend may raise anything
            raise BackendError(f"backend {self.name} failed: {type(error).__name__}: {error}") from error
        if text:
            await take(MessageCompleted(AssistantMessage("".join(text))))

    def _event(self, item: object) -> BackendEvent:
        if isinstance(item, str):
            return TextDelta(item)
        if isinstance(item, _EVENTS):
            return item
        raise BackendError(f"backend {self.name} yielded a {type(item).__name__}, which is neither an event nor text")


async def _as_async(items: Any) -> AsyncGenerator[object, None]:
    """The items of an async iterator, or of a sync iterator, which runs in a thread."""
    match items:
        case AsyncGenerator():
            async with aclosing(items) as stream:
                async for item in stream:
                    yield item
        case AsyncIterable():
            async for item in items:
                yield item
        case Iterable():
            async with aclosing(_in_thread(iter(items))) as stream:
                async for item in stream:
                    yield item
        case _:
            raise TypeError(
                f"generate_responses returned a {type(items).__name__}, neither a coroutine nor a generator"
            )


async def _in_thread(iterator: Iterator[object]) -> AsyncGenerator[object, None]:
    try:
        while (item := await asyncio.to_thread(next, iterator, _DONE)) is not _DONE:
            yield item
    finally:
        # A sync iterator that is still running was canceled; it is closed when its thread is done with it.
        if isinstance(iterator, GeneratorType) and not iterator.gi_running:
            iterator.close()
