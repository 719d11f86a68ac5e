"""The measures: each runs a program once and returns its figures; the caller decides how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeAlias

from bench.aims import Aim, AtLeastTimes, AtMost, AtMostMore, AtMostTimes
from bench.conversation import Conversation, hold_conversation
from bench.processes import MeasuredProcess
from bench.programs import Output, Program, make_environment
from msgspec.structs import replace

from vmpilot.testing import Reply, ScriptedCall

Figures: TypeAlias = Mapping[str, float]
"""Figures of one run, by the key of their row."""

CHUNKS = 5_000
_MB = 1_000_000
_LATE = 200
_TURNS = 250
_TALK = "I look at the next part of the output and then decide what to do about it. " * 6


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. The aim refers to the bare loop on the same library, or to `beside`."""

    key: str
    title: str
    unit: str
    aim: Aim | None = None
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """Rows from the same runs. `times` multiplies the number of runs of short, noisy measures."""

    name: str
    rows: tuple[Row, ...]
    take: Callable[[Program, Path], Figures]
    times: int = 1


def _take_help(program: Program, folder: Path) -> Figures:
    if program.name not in {"bare stdlib", "vmpilot litellm", "vmpilot langchain"}:
        return {}
    process = MeasuredProcess(program.help(), environment=make_environment(folder), folder=folder)
    finished = process.finish()
    return {"cpu": finished.cpu * 1e3, "wall": finished.wall * 1e3}


def _take_answer(program: Program, folder: Path) -> Figures:
    done = hold_conversation(program, [Reply("It is done.")], folder=folder)
    first = done.requests[0]
    return {
        "first_cpu": first.cpu * 1e3,
        "first_wall": first.arrived * 1e3,
        "whole_cpu": done.whole.cpu,
        "whole_wall": done.whole.wall,
        "memory": done.whole.max_rss / _MB,
    }


def take_steps(program: Program, folder: Path) -> Figures:
    """Ten steps with one command each, like most requests."""
    script = [_with_call(f"true {number}", Reply()) for number in range(10)]
    done = hold_conversation(program, [*script, Reply("Done.")], folder=folder)
    return _step_figures(done, range(10))


def _take_late_steps(program: Program, folder: Path) -> Figures:
    # In one chunk: another measure covers streams, and here they are read after the answer's end.
    talk = Reply(_TALK, chunks=1)
    script = [_with_call(f"printf %0500d {number}", talk) for number in range(_LATE + 5)]
    done = hold_conversation(program, [*script, Reply("Done.")], folder=folder)
    return {
        **_step_figures(done, range(_LATE - 5, _LATE + 5)),
        "memory": done.whole.max_rss / _MB,
        "history": done.requests[_LATE].size / 1024,
    }


def _take_turns(program: Program, folder: Path) -> Figures:
    # Four messages a turn: the request, a message that calls a command, its result, the answer. The cost of a request's
    # bytes is that of the standard library's loop; the libraries' own loops take 40 times as long.
    if program.name in {"bare litellm", "bare langchain"}:
        return {}
    script = [_with_call("true", Reply("I look at it.", chunks=1)), Reply(_TALK, chunks=1)] * (_TURNS + 2)
    asked = [f"What is in part {number} of the log, and is it as it was before?" for number in range(_TURNS + 2)]
    done = hold_conversation(program, script, folder=folder, requests=asked)
    early, late = (_turn_figures(done, range(last - 4, last + 1)) for last in (5, _TURNS))
    return {
        **{f"early_{name}": value for name, value in early.items()},
        **{f"late_{name}": value for name, value in late.items()},
        **{f"more_{name}": late[name] - early[name] for name in ("wall", "cpu")},
    }


def _take_stream(program: Program, folder: Path, *, output: Output) -> Figures:
    # The call after the text makes the program show, by its next request, when it has read everything.
    words = tuple(f"word{number} " for number in range(CHUNKS))
    call = ScriptedCall("shell", {"command": "true"})
    script = [Reply(chunks=words, tool_calls=(call,)), Reply("Done.")]
    done = hold_conversation(program, script, folder=folder, output=output)
    before, behind = done.requests
    return {"cpu": CHUNKS / (behind.cpu - before.cpu), "wall": CHUNKS / (behind.arrived - before.arrived)}


def _take_parallel(program: Program, folder: Path) -> Figures:
    calls = tuple(ScriptedCall("shell", {"command": "sleep 1"}) for _ in range(8))
    done = hold_conversation(program, [Reply(tool_calls=calls), Reply("Done.")], folder=folder)
    return {"wall": done.requests[1].arrived - done.requests[0].answered}


def _with_call(command: str, reply: Reply) -> Reply:
    return replace(reply, tool_calls=(ScriptedCall("shell", {"command": command}),))


def _step_figures(done: Conversation, steps: range) -> dict[str, float]:
    """Medians over steps: the wall time from an answer's end to the next request, and the CPU time between two."""
    pairs = [(done.requests[at], done.requests[at + 1]) for at in steps]
    return {
        "wall": median(behind.arrived - before.answered for before, behind in pairs) * 1e3,
        "cpu": median(behind.cpu - before.cpu for before, behind in pairs) * 1e3,
    }


def _turn_figures(done: Conversation, turns: range) -> dict[str, float]:
    """Medians over turns of two requests: the program's time from the previous answer to the turn's last request."""
    triples = [done.requests[2 * turn - 1 : 2 * turn + 2] for turn in turns]
    waits = [behind.arrived - first.answered + first.arrived - before.answered for before, first, behind in triples]
    return {
        "wall": median(waits) * 1e3,
        "cpu": median(behind.cpu - before.cpu for before, _, behind in triples) * 1e3,
        "size": median(behind.size for _, _, behind in triples) / 1024,
    }


def _stream_measure(output: Output) -> Measure:
    rows = (
        Row("cpu", f"stream of {CHUNKS:,} to {output}, by CPU", "chunks/s", AtLeastTimes(0.85)),
        Row("wall", f"stream of {CHUNKS:,} to {output}, by wall", "chunks/s", AtLeastTimes(0.85)),
    )
    return Measure(f"stream-{output}", rows, partial(_take_stream, output=output))


MEASURES = (
    Measure(
        "help",
        (
            Row("cpu", "--help (bare: python -c pass), CPU", "ms", AtMostTimes(4.0), beside="bare stdlib"),
            Row("wall", "--help, wall", "ms"),
        ),
        _take_help,
        times=3,
    ),
    Measure(
        "answer",
        (
            Row("first_cpu", "start to first request, CPU", "ms", AtMostTimes(1.15)),
            Row("first_wall", "start to first request, wall", "ms", AtMostTimes(1.15)),
            Row("whole_cpu", "one answer, start to end, CPU", "s"),
            Row("whole_wall", "one answer, start to end, wall", "s"),
            Row("memory", "one answer, memory", "MB", AtMostMore(40.0)),
        ),
        _take_answer,
    ),
    Measure(
        "steps",
        (
            Row("wall", "a step of 10, wall", "ms", AtMost(12.0)),
            Row("cpu", "a step of 10, CPU", "ms"),
        ),
        take_steps,
    ),
    Measure(
        "late-steps",
        (
            Row("wall", "a step near the 200th, wall", "ms", AtMost(20.0)),
            Row("cpu", "a step near the 200th, CPU", "ms"),
            Row("history", "request at the 200th", "KiB"),
            Row("memory", "205 steps, memory", "MB", AtMostMore(40.0)),
        ),
        _take_late_steps,
    ),
    Measure(
        "turns",
        (
            Row("early_wall", "a turn near message 10, wall", "ms"),
            Row("late_wall", "a turn near message 1,000, wall", "ms"),
            Row("more_wall", "increase, wall", "ms", AtMostMore(10.0), beside="bare stdlib"),
            Row("early_cpu", "a turn near message 10, CPU", "ms"),
            Row("late_cpu", "a turn near message 1,000, CPU", "ms"),
            Row("more_cpu", "increase, CPU", "ms", AtMostMore(10.0), beside="bare stdlib"),
            Row("late_size", "request near message 1,000", "KiB"),
        ),
        _take_turns,
    ),
    _stream_measure("text"),
    _stream_measure("jsonl"),
    Measure("parallel", (Row("wall", "8 times sleep 1 in one message, wall", "s", AtMost(1.3)),), _take_parallel),
)
