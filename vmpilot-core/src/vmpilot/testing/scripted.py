"""The scripted server itself: a thread with its own event loop that answers an OpenAI client from a script.

It listens on loopback only and accepts any key.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self

import msgspec

from vmpilot.testing.answers import encode_models
from vmpilot.testing.connection import Connection
from vmpilot.testing.exchange import Exchange
from vmpilot.testing.recording import RecordedRequest, Recorder
from vmpilot.testing.script import HttpError, Raw, Step, StepMaker
from vmpilot.testing.strict import history_faults
from vmpilot.testing.wire import WireRequest

_HOST = "127.0.0.1"
_ROUTES = {"/v1/chat/completions": "POST", "/v1/models": "GET"}
_PATIENCE = 10.0  # seconds for the thread to start and to end


class ScriptedServer:
    """An OpenAI-compatible server that answers chat requests with the steps of a script, in order.

    Use it as a context manager; sync code, async tests and child processes can all talk to `base_url`. Leaving it
    checks that the complete script was played and no further requests arrived (`check`). With `strict`, a request that
    the strictest provider would reject gets status 400 and is a fault. With `repeat_last`, the last step also answers
    all later requests. `keep` limits the number of recorded requests.
    """

    def __init__(
        self,
        script: Sequence[Step | StepMaker],
        *,
        strict: bool = True,
        repeat_last: bool = False,
        models: Sequence[str] = ("scripted",),
        port: int = 0,
        keep: int | None = None,
    ) -> None:
        self._script = tuple(script)
        self._strict = strict
        self._repeat_last = repeat_last
        self._models = tuple(models)
        self._port = port
        self._recorder = Recorder(keep)
        self._position = 0
        self._surplus: list[str] = []
        self._faults: list[str] = []
        self._failures: list[BaseException] = []
        self._connections: set[Connection] = set()
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client; raises RuntimeError before the server has started."""
        if self._port == 0:
            raise RuntimeError("The scripted server has no port until it is started; use it in a `with` statement")
        return f"http://{_HOST}:{self._port}/v1"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """All requests that have arrived, oldest first."""
        return self._recorder.requests

    @property
    def faults(self) -> tuple[str, ...]:
        """The findings of the strict check, each with its request number."""
        return tuple(self._faults)

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> tuple[RecordedRequest, ...]:
        """Wait until `count` requests have arrived; raises TimeoutError after `timeout` seconds.

        It blocks: in async code call it through `asyncio.to_thread`.
        """
        return self._recorder.wait_for_requests(count, timeout)

    def wait_for_hangup(self, timeout: float = 10.0) -> RecordedRequest:
        """Wait until a client has disconnected during its answer, and return the first such request.

        It blocks: in async code call it through `asyncio.to_thread`. Raises TimeoutError after `timeout` seconds.
        """
        return self._recorder.wait_for_hangup(timeout)

    @property
    def problems(self) -> tuple[str, ...]:
        """Faults of requests, requests beyond the script's end, and callables of the script that raised."""
        raised = [f"a callable in the script raised {error!r}" for error in self._failures]
        return (*self._faults, *self._surplus, *raised)

    def check(self) -> None:
        """Raise an AssertionError if there are problems or if steps were not used (unless the last repeats)."""
        problems = [*self.problems]
        left = self._script[self._position :]
        if left and not self._repeat_last:
            count = f"{len(left)} of {len(self._script)} steps"
            problems.append(f"{count} were not used; the first is {left[0]!r:.200}")
        if problems:
            cause = self._failures[0] if self._failures else None
            raise AssertionError("\n".join(["Unexpected requests or unused steps:", *problems])) from cause

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            self.check()

    def start(self) -> None:
        """Start the thread and listen; raises OSError if the port is taken. `with` does it for you."""
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="scripted-server", daemon=True)
        self._thread.start()
        self._port = started.result(_PATIENCE)

    def stop(self) -> None:
        """End all connections and the thread; a second call does nothing."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_PATIENCE)
        self._thread = None

    def _run(self, started: Future[int]) -> None:
        asyncio.run(self._serve(started))

    async def _serve(self, started: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        connect = partial(Connection, self._handle, self._failures.append, self._connections)
        try:
            listener = await self._loop.create_server(connect, _HOST, self._port, backlog=1024)
        except (OSError, OverflowError) as error:  # the port is taken, not allowed or invalid
            started.set_exception(error)
            return
        started.set_result(listener.sockets[0].getsockname()[1])
        await self._stopping.wait()
        listener.close()
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # lets the transports close their sockets

    async def _handle(self, wire: WireRequest, connection: Connection) -> None:
        request = self._recorder.add(wire.method, wire.target, wire.headers, _parse_json(wire.body), len(wire.body))
        connection.on_gone = partial(self._recorder.add_hangup, request)
        await Exchange(connection, request, keep_alive=wire.keep_alive).play(self._choose(request))

    def _choose(self, request: RecordedRequest) -> Step:
        allowed = _ROUTES.get(request.path)
        if request.method not in {"GET", "POST"} or (allowed and request.method != allowed):
            allow = {"Allow": allowed or "GET, POST"}
            return HttpError(405, f"{request.method} is not allowed on {request.path}", headers=allow)
        if allowed is None:
            known = " and ".join(_ROUTES)
            return HttpError(
                404, f"Unknown path {request.path}; the scripted server supports {known}", code="not_found"
            )
        if request.path == "/v1/models":
            return Raw(encode_models(self._models))
        return self._choose_completion(request)

    def _choose_completion(self, request: RecordedRequest) -> Step:
        if not isinstance(request.body, dict):
            return self._refuse(request, ("the body is not a JSON object",))
        faults = history_faults(request.body) if self._strict else ()
        return self._refuse(request, faults) if faults else self._next_step(request)

    def _refuse(self, request: RecordedRequest, faults: tuple[str, ...]) -> HttpError:
        self._faults += [f"request {request.number}: {fault}" for fault in faults]
        return HttpError(400, "Invalid request: " + "; ".join(faults), code="invalid_request")

    def _next_step(self, request: RecordedRequest) -> Step:
        if self._repeat_last and self._position >= len(self._script) > 0:
            item = self._script[-1]
        elif self._position < len(self._script):
            item = self._script[self._position]
            self._position += 1
        else:
            return self._refuse_surplus(request)
        step = item if isinstance(item, msgspec.Struct) else item(request)
        if not isinstance(step, msgspec.Struct):
            raise TypeError(f"a callable in the script must return a step, not {step!r:.100}")
        return step

    def _refuse_surplus(self, request: RecordedRequest) -> HttpError:
        message = f"THE SCRIPT HAS RUN OUT: request {request.number} exceeds its {len(self._script)} steps"
        self._surplus.append(message)
        return HttpError(500, message, kind="script_exhausted", code="script_exhausted")


def _parse_json(body: bytes) -> Any:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _parse_odd_json(body)


def _parse_odd_json(body: bytes) -> Any:
    # The standard library accepts lone surrogates, which the strict check then reports.
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
