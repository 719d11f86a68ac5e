"""One measured conversation: a scripted server plays a script to a program and notes when each request came."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.processes import Finished, MeasuredProcess, RunFailed
from bench.programs import Output, Program, make_environment

from vmpilot.testing import RecordedRequest, Reply, ScriptedServer


@dataclass(frozen=True, slots=True)
class Request:
    """A request at the server. Seconds since the program's start: when it came, when its answer was sent; `cpu` is
    what the program itself had used when it came."""

    arrived: float
    answered: float
    cpu: float
    size: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a program did from its start to its end."""

    requests: tuple[Request, ...]
    whole: Finished


def hold_conversation(
    program: Program,
    script: Sequence[Reply],
    *,
    folder: Path,
    output: Output = "text",
    requests: Sequence[str] | None = None,
) -> Conversation:
    """Let the program make a request, or all of `requests`, and play the script to it.

    Raises `RunFailed` unless it went as planned.
    """
    watch = _Watch()
    with _serve(watch, script) as server:
        url = server.base_url
        command = program.request(url, output=output) if requests is None else program.talk(url, requests)
        process = MeasuredProcess(command, environment=make_environment(folder), folder=folder)
        watch.process.set_result(process)
        whole = process.finish()
    if server.problems or len(watch.seen) != len(script):
        raise RunFailed("; ".join(server.problems) or f"{len(watch.seen)} of {len(script)} answers were asked for")
    return Conversation(tuple(_as_request(seen, cpu, started=process.started_at) for seen, cpu in watch.seen), whole)


@contextmanager
def _serve(watch: _Watch, script: Sequence[Reply]) -> Iterator[ScriptedServer]:
    server = ScriptedServer([partial(watch.answer, reply) for reply in script], strict=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Watch:
    """Looks at the program's CPU clock whenever a request of its has come."""

    def __init__(self) -> None:
        self.process: Future[MeasuredProcess] = Future()
        self.seen: list[tuple[RecordedRequest, float]] = []

    def answer(self, reply: Reply, request: RecordedRequest) -> Reply:
        process = self.process.result(timeout=10.0)
        self.seen.append((request, process.cpu_so_far()))
        request.body = None  # the server has read it; two hundred long histories would only fill our memory
        return reply


def _as_request(seen: RecordedRequest, cpu: float, *, started: float) -> Request:
    answered = seen.finished_at or time.monotonic()
    return Request(seen.arrived_at - started, answered - started, cpu, seen.raw_size)
