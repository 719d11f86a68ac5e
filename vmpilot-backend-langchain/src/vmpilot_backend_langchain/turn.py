"""What one agent turn works on: the history that is the truth, and the events on their way out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from langchain_core.messages import AIMessage, ToolMessage

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelCalls,
    StreamInterrupted,
    StreamOnce,
    Toolbox,
    ToolCall,
    ToolResult,
)

_EVENTS_AHEAD = 256


class Turn:
    """One turn of the agent.

    The graph's own state carries stand-ins only, an id for each call and no content: LangChain's messages lose what
    models and providers wrote (broken arguments, reasoning, ids), and the graph copies its state on each step. What
    the model gets is this history, in the contract's messages. `events` ends with None. `failure` is what ended the
    turn early, as it was raised; LangGraph wraps some exceptions in its own.
    """

    def __init__(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls, *, stream_once: StreamOnce
    ) -> None:
        self.events: asyncio.Queue[BackendEvent | None] = asyncio.Queue(_EVENTS_AHEAD)
        self.failure: BaseException | None = None
        self._history: list[Message] = list(request.messages)
        self._toolbox = toolbox
        self._model_calls = model_calls
        self._stream_once = stream_once
        self._asked: dict[str, ToolCall] = {}
        self._answered: dict[str, ToolResult] = {}
        self._step = 0

    async def ask_model(self) -> AIMessage:
        """Make the next call to the model, pass its events on, and give the graph's stand-in for its message."""
        self._history += [self._answered[stand_in] for stand_in in self._asked]
        with self._remembered_failure():
            message = await self._complete_message()
        self._history.append(message)
        self._step += 1
        self._asked = {f"{self._step}.{position}": call for position, call in enumerate(message.tool_calls)}
        self._answered = {}
        return AIMessage("", tool_calls=[{"name": "call", "args": {}, "id": stand_in} for stand_in in self._asked])

    async def run_tool(self, stand_in: str) -> ToolMessage:
        """Have the toolbox run one call; the toolbox itself waits until the call's message is recorded."""
        with self._remembered_failure():
            self._answered[stand_in] = await self._toolbox.call(self._asked[stand_in])
        return ToolMessage("", tool_call_id=stand_in)

    @contextmanager
    def _remembered_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.failure = self.failure or error
            raise

    async def _complete_message(self) -> AssistantMessage:
        message: AssistantMessage | None = None
        async with aclosing(self._model_calls.run(self._stream_once, tuple(self._history))) as events:
            async for event in events:
                if isinstance(event, MessageCompleted):
                    message = event.message
                await self.events.put(event)
        if message is None:
            raise StreamInterrupted("the call to the model ended without a message")
        return message


@dataclass(frozen=True)
class TurnContext:
    """What a run of the graph is told; LangGraph wants a dataclass."""

    turn: Turn
