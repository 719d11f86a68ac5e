"""One measured conversation: a scripted server plays a script to a program and records when each request arrives."""

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
    """A request at the server: when it arrived and when its answer was sent, in seconds since the program's start, and
    the CPU seconds that the program had used when it arrived."""

    arrived: float
    answered: float
    cpu: float
    size: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A program's run from start to end."""

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

    Raises `RunFailed` if the conversation does not go as planned.
    """
    watch = _Watch()
    with _serve(watch, script) as server:
        url = server.base_url
        command = program.request(url, output=output) if requests is None else program.talk(url, requests)
        process = MeasuredProcess(command, environment=make_environment(folder), folder=folder)
        watch.process.set_result(process)
        whole = process.finish()
    if server.problems or len(watch.seen) != len(script):
        raise RunFailed("; ".join(server.problems) or f"{len(watch.seen)} of {len(script)} answers were requested")
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
    """Reads the program's CPU clock on each of its requests."""

    def __init__(self) -> None:
        self.process: Future[MeasuredProcess] = Future()
        self.seen: list[tuple[RecordedRequest, float]] = []

    def answer(self, reply: Reply, request: RecordedRequest) -> Reply:
        process = self.process.result(timeout=10.0)
        self.seen.append((request, process.cpu_so_far()))
        request.body = None  # already read by the server; two hundred long histories would fill our memory
        return reply


def _as_request(seen: RecordedRequest, cpu: float, *, started: float) -> Request:
    answered = seen.finished_at or time.monotonic()
    return Request(seen.arrived_at - started, answered - started, cpu, seen.raw_size)
