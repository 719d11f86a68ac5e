"""Run a client through a fault: a turn with the fault, then a second turn against a strict server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
from tests.faults.fault import MARKS, Fault
from tests.faults.memory import MemoryGrowth
from tests.faults.refusals import ELSEWHERE
from tests.faults.statuses import KEY_IN_TEXT

from vmpilot.contract import Event, TurnStarted
from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import HttpError, Reply, Step
from vmpilot.testing.scripted import ScriptedServer

KEY = KEY_IN_TEXT
"""The client's key, which only its own server may see."""

AFTERWARDS = "All is well again."
"""The answer to the second turn."""

_PATIENCE = 30.0
"""Seconds for the second turn, or for the client to disconnect, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The setting of a turn: the folder in which commands run, the server, and VMPilot's settings.

    `conversation` is the id of the conversation to continue; None starts a new one.
    """

    folder: Path
    base_url: str
    settings: Mapping[str, Any]
    conversation: str | None = None


class Client(Protocol):
    """A client under test; `vmpilot.Agent` is one."""

    def run(self, request: str) -> AsyncGenerator[Event, None]:
        """Run one turn of its conversation and yield its events."""
        ...


Connect: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[Client]]
"""Creates a client for a stage, with the model `scripted` and the key `KEY`."""


@dataclass
class Observation:
    """What one client did about one fault.

    `first` and `second` are the events of the two turns, `requests` the requests of the first, `faults` the reasons
    for which a strict server would reject a request of either. `elsewhere` are the requests to another origin, `ran`
    the lines of the marks, `raised` the exception that the client raised. `grown` is in megabytes, None if it was not
    measured.
    """

    fault: Fault
    streaming: bool
    first: list[Event] = field(default_factory=list)
    second: list[Event] = field(default_factory=list)
    requests: tuple[RecordedRequest, ...] = ()
    faults: tuple[str, ...] = ()
    elsewhere: tuple[RecordedRequest, ...] = ()
    ran: tuple[str, ...] = ()
    raised: str = ""
    seconds: float = 0.0
    closed: bool = True
    grown: float | None = None
    leaks: tuple[str, ...] = ()


async def play(fault: Fault, connect: Connect, *, folder: Path, streaming: bool = True) -> Observation:
    """Run a turn with the fault in it, then one that continues the stored conversation.

    If the fault has settings, a new client without them runs the second turn, as if the user came back later.
    Commands run in `work` below `folder`, and no file below `folder` may contain the key.
    """
    seen = Observation(fault, streaming)
    (folder / "work").mkdir(parents=True)
    playbook = _Playbook(fault)
    with ExitStack() as stack:
        server = stack.enter_context(_served(ScriptedServer([playbook.answer], repeat_last=True)))
        if playbook.redirects:
            playbook.elsewhere = stack.enter_context(_served(_recorder()))
        stage = Stage(folder / "work", stack.enter_context(_place(fault, server)), fault.settings)
        async with connect(stage) as client:
            await _play_first(client, seen)
            seen.closed = not fault.closes or await _was_left(server)
            seen.requests = server.requests
            playbook.over = True
            goes_on = fault.place == "server" and not seen.raised
            if goes_on and not fault.settings:
                await _play_second(client, seen)
        if goes_on and fault.settings:
            again = Stage(stage.folder, stage.base_url, {}, _conversation(seen.first))
            async with connect(again) as client:
                await _play_second(client, seen)
        seen.faults = server.problems
        seen.elsewhere = playbook.elsewhere.requests if playbook.elsewhere else ()
    seen.ran = _read_marks(folder / "work")
    seen.leaks = tuple(_find_leaks(folder))
    return seen


def _recorder() -> ScriptedServer:
    """A server at another origin."""
    return ScriptedServer([Reply("Stolen.")], strict=False, repeat_last=True)


class _Playbook:
    """Answers the first turn with the fault's script, and the second with plain text."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._asked = 0
        self.elsewhere: ScriptedServer | None = None
        self.over = False

    @property
    def redirects(self) -> bool:
        """Whether the script redirects the client."""
        steps = [step for step in self._fault.script if isinstance(step, HttpError)]
        return any(ELSEWHERE in value for step in steps for value in step.headers.values())

    def answer(self, request: RecordedRequest) -> Step:
        script = self._fault.script
        if self.over:
            return Reply(AFTERWARDS)
        if self._asked < len(script):
            item = script[self._asked]
            self._asked += 1
        elif self._fault.repeats:
            item = script[-1]
        else:
            return Reply("Unexpected request: the script is over.")
        step = item if isinstance(item, msgspec.Struct) else item(request)
        return self._redirected(step) if isinstance(step, HttpError) else step

    def _redirected(self, error: HttpError) -> HttpError:
        if self.elsewhere is None:
            return error
        place = self.elsewhere.base_url.removesuffix("/v1")
        headers = {name: value.replace(ELSEWHERE, place) for name, value in error.headers.items()}
        return msgspec.structs.replace(error, headers=headers)


def _conversation(events: Sequence[Event]) -> str | None:
    return next((event.conversation_id for event in events if isinstance(event, TurnStarted)), None)


async def _play_first(client: Client, seen: Observation) -> None:
    started = time.monotonic()
    growth = MemoryGrowth() if seen.fault.megabytes else None
    await _play_turn(client, "Do it.", seen, seen.first, timeout=seen.fault.seconds)
    seen.grown = None if growth is None else growth.megabytes
    seen.seconds = time.monotonic() - started


async def _play_second(client: Client, seen: Observation) -> None:
    await _play_turn(client, "Go on.", seen, seen.second, timeout=_PATIENCE)


async def _play_turn(client: Client, request: str, seen: Observation, events: list[Event], *, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout), aclosing(client.run(request)) as run:
            async for event in run:
                events.append(event)  # noqa: PERF401  the events before a failure count
    except TimeoutError:
        seen.raised = f"the turn did not end within {timeout:g} s"
    except Exception as error:  # noqa: BLE001  any exception of a client is the row's result
        seen.raised = f"{type(error).__name__}: {error}"


async def _was_left(server: ScriptedServer) -> bool:
    """Whether the client closed the first request's connection before the end of the answer."""
    if not server.requests:
        return True
    return await asyncio.to_thread(server.requests[0].client_gone.wait, _PATIENCE)


@contextmanager
def _served(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """The running server, without its check at the end."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _place(fault: Fault, server: ScriptedServer) -> Iterator[str]:
    match fault.place:
        case "server":
            yield server.base_url
        case "https":
            yield server.base_url.replace("http:", "https:")
        case "closed port":
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        case "full port":
            with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
                for _ in range(4):
                    waiting = stack.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex(full.getsockname())
                yield f"http://127.0.0.1:{full.getsockname()[1]}/v1"


def _read_marks(folder: Path) -> tuple[str, ...]:
    path = folder / MARKS
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()


def _find_leaks(folder: Path) -> Iterator[str]:
    """Files that contain the key."""
    for path in folder.rglob("*"):
        if path.is_file() and KEY.encode() in path.read_bytes():
            yield str(path.relative_to(folder))
