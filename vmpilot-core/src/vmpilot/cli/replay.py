"""`vmpilot replay`: a recording played to a backend, and where it differs."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vmpilot.cli._style import printable
from vmpilot.engine.recording import RecordedTurn, Recording, read_recording
from vmpilot.lab.replay import Difference, Replay, replay_turn
from vmpilot.plugins import Backend, choose_backend, installed_backends, load_backend


def run_replay(options: argparse.Namespace) -> int:
    """Play each turn of the recording; the exit code is 1 where one differs. Raises the contract's errors."""
    path = Path(options.file)
    recording = read_recording(path)
    if not recording.whole:
        print(f"vmpilot: {path} ends in the middle of a line; what is before it is played", file=sys.stderr)
    return asyncio.run(_play(recording, options))


async def _play(recording: Recording, options: argparse.Namespace) -> int:
    backends: dict[str, Backend] = {}
    replays: list[Replay] = []
    for number, turn in enumerate(recording.turns, 1):
        name = options.backend or turn.asked.backend
        if name not in backends:
            asked_by = "--backend" if options.backend else "the recording"
            backends[name] = load_backend(choose_backend(installed_backends(), name, asked_by=asked_by).backend)
        replay = await replay_turn(turn, backends[name])
        replays.append(replay)
        if options.output == "text":
            _print(number, turn, name, replay)
    if options.output == "json":
        print(json.dumps([msgspec.to_builtins(replay) for replay in replays]))
    return int(any(replay.differences for replay in replays))


def _print(number: int, turn: RecordedTurn, backend: str, replay: Replay) -> None:
    way = backend if backend == turn.asked.backend else f"{turn.asked.backend} → {backend}"
    count = len(replay.differences)
    verdict = "the same" if not count else "1 difference" if count == 1 else f"{count} differences"
    requests, calls = _count(replay.requests, "request"), _count(replay.calls, "tool call")
    print(f"turn {number} ({way}): {requests}, {calls}, {replay.reason}: {verdict}")
    for difference in replay.differences:
        print(printable(f"\n{difference.what}"))
        for line in _diff(difference):
            print(printable(line))


def _diff(difference: Difference) -> Iterator[str]:
    before, after = difference.recorded.splitlines(), difference.now.splitlines()
    lines = difflib.unified_diff(before, after, "on the recording", "now", lineterm="")
    return (f"  {line}" for line in lines)


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
