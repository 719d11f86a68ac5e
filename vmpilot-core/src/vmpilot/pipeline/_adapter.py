"""The adapter for Open WebUI Pipelines: a manifold with one model for each installed backend.

Wire format: https://github.com/open-webui/pipelines. Besides `Agent.ask` the only synchronous
interface: turns run in an event loop in a separate thread. The request's messages are the history; users share nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias

from pydantic import BaseModel, Field

from vmpilot.app import Agent
from vmpilot.contract import UserMessage, VMPilotError
from vmpilot.pipeline._markdown import markdown
from vmpilot.pipeline._tasks import is_task
from vmpilot.plugins import installed_backends
from vmpilot.providers import read_chat_messages

_Messages: TypeAlias = Sequence[Mapping[str, Any]]

_log = logging.getLogger(__name__)


class Pipeline:
    """The class that Open WebUI Pipelines loads. There is no way to ask: actions that need approval are denied."""

    class Valves(BaseModel):
        """Settings that an administrator changes in Open WebUI; empty ones come from the usual sources."""

        backend: str = ""
        model: str = ""
        base_url: str = ""
        api_key: str = Field(default="", repr=False)
        mode: str = ""
        temperature: float | None = None
        max_steps: int | None = None
        max_cost: float | None = None
        max_total_tokens: int | None = None
        max_seconds: float | None = None
        folder: str = "."

    def __init__(self) -> None:
        self.type = "manifold"
        self.id = "vmpilot"
        self.name = "VMPilot: "
        self.valves = self.Valves()
        self._agents: dict[tuple[str, str], Agent] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._starting = Lock()
        self._stop: Callable[[], None] | None = None

    async def on_startup(self) -> None:
        """Does nothing: agents are created on their first request."""

    async def on_shutdown(self) -> None:
        """End all turns and stop the thread."""
        with self._starting:
            stop, self._stop = self._stop, None
        if stop is not None:
            self._loop.call_soon_threadsafe(stop)
            await asyncio.to_thread(self._thread.join)

    async def on_valves_updated(self) -> None:
        """Use new agents from the next request on; running turns end normally."""
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._retire_agents)

    def pipelines(self) -> list[dict[str, str]]:
        """The models to choose from: `default`, then each installed backend by name."""
        names = sorted({backend.name for backend in installed_backends()})
        return [{"id": "default", "name": "default"}, *({"id": name, "name": name} for name in names)]

    def pipe(
        self, user_message: str, model_id: str, messages: _Messages, body: Mapping[str, Any]
    ) -> str | Iterator[str]:
        """Answer the last message: an iterator of Markdown, or one string where `body` says `stream: false`.

        Open WebUI's own requests about a chat (see `_tasks`) get the model's answer without the agent. Closing the
        iterator early ends the turn and its commands.
        """
        pieces = self._pieces(user_message, model_id, messages, body.get("metadata"))
        return pieces if body.get("stream", True) else "".join(pieces)

    def _pieces(self, user_message: str, model_id: str, messages: _Messages, metadata: object) -> Iterator[str]:
        pieces: SimpleQueue[str | None] = SimpleQueue()
        task = self._start(self._produce(user_message, model_id, messages, metadata, pieces.put))
        piece: str | None = ""
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            task.cancel()
            while piece is not None:
                piece = pieces.get()

    async def _produce(
        self,
        user_message: str,
        model_id: str,
        messages: _Messages,
        metadata: object,
        put: Callable[[str | None], None],
    ) -> None:
        """Put the pieces of the answer, then None."""
        try:
            system, earlier = read_chat_messages(messages)
            if is_task(metadata, system, earlier):
                put(await self._agent(model_id).complete(earlier, instructions=system))
                return
            *history, last = earlier or (UserMessage.from_text(user_message),)
            request = last if isinstance(last, UserMessage) else UserMessage.from_text(user_message)
            run = self._agent(model_id).run(request, history=history, instructions=system)
            async with aclosing(run) as events:
                async for event in events:
                    put(markdown(event))
        except (VMPilotError, ValueError) as error:
            put(f"\n\n**VMPilot cannot answer:** {error}\n")
        except Exception as error:  # noqa: BLE001  the front end's top: a bug becomes a sentence, too
            _log.exception("unexpected error")
            put(f"\n\n**VMPilot cannot answer:** unexpected {type(error).__name__}\n")
        finally:
            put(None)

    def _agent(self, model_id: str) -> Agent:
        """The agent for a model id: `default`, a backend's name, or `backend/model`."""
        backend, _, model = model_id.removeprefix(f"{self.id}.").partition("/")
        valves = self.valves
        if backend in {"", "default", self.id}:
            backend = valves.backend
        key = (backend, model)
        if key not in self._agents:
            given = valves.model_dump(exclude={"folder"}) | {"backend": backend, "model": model or valves.model}
            given = {name: value for name, value in given.items() if value not in {"", None}}
            self._agents[key] = Agent(folder=valves.folder, **given)
        return self._agents[key]

    def _start(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Run work in the pipeline's event loop, which starts with the first request."""
        with self._starting:
            if self._stop is None:
                ready: Future[None] = Future()
                self._thread = Thread(target=asyncio.run, args=(self._serve(ready),), daemon=True)
                self._thread.start()
                ready.result()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _serve(self, ready: Future[None]) -> None:
        """Keep the loop running until the pipeline stops, then end what still runs."""
        stopping = asyncio.Event()
        self._loop, self._stop = asyncio.get_running_loop(), stopping.set
        ready.set_result(None)
        await stopping.wait()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(
            *self._retiring, *(agent.aclose() for agent in self._agents.values()), return_exceptions=True
        )

    def _retire_agents(self) -> None:
        for agent in self._agents.values():
            task = asyncio.create_task(_close_when_idle(agent))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._agents.clear()


async def _close_when_idle(agent: Agent) -> None:
    async with agent:
        await agent.wait()
