"""What one agent turn works on: the history that is the truth, beside a graph that sees placeholders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from langchain_core.messages import AIMessage, ToolMessage

from vmpilot.contract import (
    GenerationRequest,
    Message,
    ModelCalls,
    StreamOnce,
    Toolbox,
    ToolCall,
    ToolResult,
)


class Turn:
    """One turn of the agent.

    The graph's own state carries placeholders only, an id for each call and no content: LangChain's messages lose what
    models and providers wrote (broken arguments, reasoning, ids), and the graph copies its state on each step. What
    the model gets is this history, in the contract's messages. `failure` is what ended the turn early, unwrapped.
    """

    def __init__(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls, *, stream_once: StreamOnce
    ) -> None:
        self.failure: BaseException | None = None
        self._history: list[Message] = list(request.messages)
        self._toolbox = toolbox
        self._model_calls = model_calls
        self._stream_once = stream_once
        self._asked: dict[str, ToolCall] = {}
        self._answered: dict[str, ToolResult] = {}
        self._step = 0

    async def ask_model(self) -> AIMessage:
        """Make the next call to the model, and return the graph's placeholder for its message."""
        self._history += [self._answered[placeholder] for placeholder in self._asked]
        with self._remembered_failure():
            message = await self._model_calls.ask(self._stream_once, tuple(self._history))
        self._history.append(message)
        self._step += 1
        self._asked = {f"{self._step}.{position}": call for position, call in enumerate(message.tool_calls)}
        self._answered = {}
        return AIMessage(
            "", tool_calls=[{"name": "call", "args": {}, "id": placeholder} for placeholder in self._asked]
        )

    async def run_tool(self, placeholder: str) -> ToolMessage:
        """Have the toolbox run one call."""
        with self._remembered_failure():
            self._answered[placeholder] = await self._toolbox.call(self._asked[placeholder])
        return ToolMessage("", tool_call_id=placeholder)

    @contextmanager
    def _remembered_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.failure = self.failure or error
            raise


@dataclass(frozen=True)
class TurnContext:
    """The context of a run of the graph; LangGraph wants a dataclass."""

    turn: Turn
