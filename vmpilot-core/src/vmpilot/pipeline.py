"""The adapter for Open WebUI Pipelines: a manifold with one model for each installed backend.

Wire format: https://github.com/open-webui/pipelines. The only synchronous face besides `Agent.ask`: turns run in one
event loop in a thread of the pipeline's own. The request's messages are the history; users share nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

from pydantic import BaseModel, Field

from vmpilot.assembly import Agent
from vmpilot.contract import (
    Event,
    LimitReached,
    Notice,
    Retrying,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    UserMessage,
    VMPilotError,
    read_chat_messages,
)
from vmpilot.plugins import installed_backends

_TASKS: Mapping[str, Callable[[str], str]] = {
    "title_generation": lambda text: json.dumps({"title": " ".join(text.split()[:6])}),
    "tags_generation": lambda _text: json.dumps({"tags": []}),
    "follow_up_generation": lambda _text: json.dumps({"follow_ups": []}),
}
"""Open WebUI's own small requests about a chat, which are answered without the agent."""


class Pipeline:
    """What Open WebUI Pipelines loads. Nobody can be asked here: what the mode does not let through is denied."""

    class Valves(BaseModel):
        """Settings that an administrator makes in Open WebUI; what is left empty comes from where it always does."""

        backend: str = ""
        model: str = ""
        base_url: str = ""
        api_key: str = Field(default="", repr=False)
        mode: str = ""
        temperature: float | None = None
        max_steps: int | None = None
        folder: str = "."

    def __init__(self) -> None:
        self.type = "manifold"
        self.id = "vmpilot"
        self.name = "VMPilot: "
        self.valves = self.Valves()
        self._agents: dict[tuple[str, str], Agent] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = Lock()

    async def on_startup(self) -> None:
        """Nothing to prepare: agents are made when they are first asked."""

    async def on_shutdown(self) -> None:
        """End what runs and stop the thread."""
        loop, self._loop = self._loop, None
        if loop is not None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._close_agents(), loop))
            loop.call_soon_threadsafe(loop.stop)

    async def on_valves_updated(self) -> None:
        """New settings: new agents, from the next request on."""
        if self._loop is not None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._close_agents(), self._loop))

    def pipelines(self) -> list[dict[str, str]]:
        """The models to choose from: the backend that the rules choose first, then each installed one by name."""
        names = sorted({backend.name for backend in installed_backends()})
        return [{"id": "default", "name": "default"}, *({"id": name, "name": name} for name in names)]

    def pipe(
        self, user_message: str, model_id: str, messages: Sequence[Mapping[str, Any]], body: Mapping[str, Any]
    ) -> str | Iterator[str]:
        """Answer the last message: an iterator of Markdown, or one string where `body` says `stream: false`.

        Closing the iterator early ends the turn and its commands.
        """
        metadata = body.get("metadata") or {}
        if answer := _TASKS.get(str(metadata.get("task"))):
            return answer(user_message)
        pieces = self._pieces(user_message, model_id, messages)
        return pieces if body.get("stream", True) else "".join(pieces)

    def _pieces(self, user_message: str, model_id: str, messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        pieces: SimpleQueue[str | None] = SimpleQueue()
        over = Flag()
        task = self._start(self._produce(user_message, model_id, messages, pieces.put, over))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            task.cancel()
            over.wait()

    async def _produce(
        self,
        user_message: str,
        model_id: str,
        messages: Sequence[Mapping[str, Any]],
        put: Callable[[str | None], None],
        over: Flag,
    ) -> None:
        try:
            system, earlier = read_chat_messages(messages)
            *history, last = earlier or (UserMessage.from_text(user_message),)
            request = last if isinstance(last, UserMessage) else UserMessage.from_text(user_message)
            run = self._agent(model_id).run(request, history=history, instructions=system)
            async with aclosing(run) as events:
                async for event in events:
                    put(_markdown(event))
        except (VMPilotError, ValueError) as error:
            put(f"\n\n**VMPilot cannot answer:** {error}\n")
        finally:
            put(None)
            over.set()

    def _agent(self, model_id: str) -> Agent:
        """The agent for a model id: `default`, a backend's name, or `backend/model`."""
        backend, _, model = model_id.removeprefix(f"{self.id}.").partition("/")
        valves = self.valves
        if backend in {"", "default", self.id}:
            backend = valves.backend
        known = self._agents.get((backend, model))
        if known is None:
            given: dict[str, Any] = {
                "backend": backend,
                "model": model or valves.model,
                "base_url": valves.base_url,
                "api_key": valves.api_key,
                "mode": valves.mode,
                "temperature": valves.temperature,
                "max_steps": valves.max_steps,
            }
            given = {name: value for name, value in given.items() if value not in {"", None}}
            known = self._agents[backend, model] = Agent(folder=valves.folder, **given)
        return known

    def _start(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Run work in the pipeline's own loop, which begins with the first request."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, name="vmpilot-pipeline", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _close_agents(self) -> None:
        agents, self._agents = list(self._agents.values()), {}
        for agent in agents:
            await agent.aclose()


def _markdown(event: Event) -> str:
    match event:
        case TextDelta():
            return event.text
        case ToolStarted():
            return f"\n\n{_fenced(event.title)}\n"
        case ToolFinished():
            return f"\n{_fenced(_first_lines(event.result.text))}\n\n"
        case Retrying(why=text) | Notice(text=text) | LimitReached(text=text) | TurnEnded(error=str(text)):
            return f"\n\n*{text}*\n\n"
        case _:
            return ""


def _first_lines(text: str, *, most: int = 10) -> str:
    lines = text.splitlines()
    hidden = len(lines) - most
    return "\n".join(lines[:most] + ([f"(and {hidden} more lines)"] if hidden > 0 else []))


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
